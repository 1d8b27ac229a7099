"""DashScope's own protocol, multimodal: parts as OpenAI writes them, sent as DashScope wants them.
DashScope 原生协议（多模态）：部分按 OpenAI 的写法给出，按 DashScope 的格式发送。

Replaces the MultiModalConversation example of Model Studio's page “Multi-turn conversations”.
代替阿里云百炼《多轮对话》中 MultiModalConversation 的例子
(help.aliyun.com/zh/model-studio/multi-round-conversation)。

    DASHSCOPE_API_KEY=… python examples/dashscope_multimodal.py
"""

from multiturn import MultiTurn

SHOP = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251031/ownrof"
IMAGE = {"type": "image_url", "image_url": {"url": f"{SHOP}/f26d201b1e3f4e62ab4a1fc82dd5c9bb.png"}}

with MultiTurn(model="dashscope/qwen3-vl-plus", store="sqlite:///examples.db") as client:
    chat = client.conversation()
    print(chat.send([IMAGE, {"type": "text", "text": "图里有哪些商品？"}]).text)
    with chat.stream("其中哪一件最贵？") as stream:
        for delta in stream:
            print(delta.text, end="", flush=True)
    print()
