"""A shop assistant that opens the conversation itself and asks until it knows what the customer wants.
手机商店的店员：自己先开口，一直问到了解购买意向为止。

Replaces the phone shop of Model Studio's page “Multi-turn conversations”, a loop around a list of messages.
代替阿里云百炼《多轮对话》中的手机商店：那里是一个围绕 messages 列表的循环
(help.aliyun.com/zh/model-studio/multi-round-conversation)。

    DASHSCOPE_API_KEY=… python examples/phone_shop.py
"""

from multiturn import MultiTurn

DONE = "我已了解您的购买意向"
SYSTEM = f"""你是手机商店的店员，负责了解顾客想买什么手机。
手机有屏幕尺寸（6.1 英寸、6.5 英寸、6.7 英寸）和分辨率（2K、4K）两个参数，每次只问一个。
两个参数都知道以后，说：{DONE}。"""
OPENING = "欢迎光临手机商店！请问您需要多大屏幕的手机？"

with MultiTurn(model="qwen/qwen-plus", store="sqlite:///examples.db") as client:
    chat = client.conversation(system=SYSTEM, opening=OPENING)
    said = OPENING
    while DONE not in said:
        print("店员：", said)
        said = chat.send(input("顾客： ")).text
    print("店员：", said)
