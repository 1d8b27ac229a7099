"""DashScope's own protocol, text: the same five lines, another prefix before the model.
DashScope 原生协议（文本）：同样的五行，只是模型前缀不同。

Replaces the DashScope example of Model Studio's page “Multi-turn conversations” (Generation.call).
代替阿里云百炼《多轮对话》中 DashScope SDK 的例子 (Generation.call)
(help.aliyun.com/zh/model-studio/multi-round-conversation)。

    DASHSCOPE_API_KEY=… python examples/dashscope_text.py
"""

from multiturn import MultiTurn

with MultiTurn(model="dashscope/qwen-plus", store="sqlite:///examples.db") as client:
    chat = client.conversation(system="你是一位园艺师。")
    chat.send("我的阳台朝北，养了一盆茉莉。", temperature=0.3, params={"top_k": 20})

    with chat.stream("我养了什么花？") as stream:
        for delta in stream:
            print(delta.text, end="", flush=True)
    print()
    print(stream.reply.usage)
