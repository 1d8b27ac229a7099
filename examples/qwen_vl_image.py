"""Qwen-VL: send an image, then ask about it. The image goes out again with the follow-up by itself.
通义千问 VL：发送一张图片，再就它追问。追问时图片会自动再次发送。

Replaces the Qwen-VL example of Model Studio's page “Multi-turn conversations”.
代替阿里云百炼《多轮对话》中 Qwen-VL 的例子 (help.aliyun.com/zh/model-studio/multi-round-conversation)。

    DASHSCOPE_API_KEY=… python examples/qwen_vl_image.py
"""

from multiturn import ContextPolicy, MultiTurn

SHOP = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20251031/ownrof"
IMAGE = {"type": "image_url", "image_url": {"url": f"{SHOP}/f26d201b1e3f4e62ab4a1fc82dd5c9bb.png"}}

# images="last" sends the newest image only: older ones stay stored.  只发送最新的图片，旧图片仍然保存着。
policy = ContextPolicy(images="last")
with MultiTurn(model="qwen/qwen3-vl-plus", store="sqlite:///examples.db", policy=policy) as client:
    chat = client.conversation()
    print(chat.send([IMAGE, {"type": "text", "text": "图里有哪些商品？"}]).text)
    print(chat.send("它们是什么颜色？").text)
