"""zhizengzeng: a relay. The model keeps the name it has at its maker; the memory works as everywhere.
智增增：中转服务。模型沿用原厂的名字，记忆的用法与其他服务商相同。

Replaces zhizengzeng's page “OpenAI概述”, where the caller keeps the list of messages.
代替智增增文档《OpenAI概述》：那里由调用方自己维护消息列表 (doc.zhizengzeng.com/doc-3979938)。

    ZHIZENGZENG_API_KEY=… python examples/zhizengzeng_relay.py
"""

from multiturn import MultiTurn

with MultiTurn(model="zhizengzeng/gpt-4o-mini", store="sqlite:///examples.db") as client:
    chat = client.conversation(system="你是一位历史老师，每次只说一句话。")
    print(chat.send("我最喜欢的朝代是宋朝。").text)

    with chat.stream("我最喜欢的朝代是哪个？") as stream:
        for delta in stream:
            print(delta.text, end="", flush=True)
    print()

    usage = stream.reply.usage
    if usage is not None:  # a relay may send no usage: it is estimated, and says so
        print(usage.input, "+", usage.output, "tokens", "(estimated 估算)" if usage.estimated else "")
