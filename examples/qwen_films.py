"""Qwen: recommend a film, then ask about “this film”. Two rounds, no list of messages in sight.
通义千问：推荐一部电影，再追问“这部电影”。两轮对话，看不到 messages 列表。

Replaces the first example of Model Studio's page “Multi-turn conversations”.
代替阿里云百炼《多轮对话》的第一个例子 (help.aliyun.com/zh/model-studio/multi-round-conversation)。

    DASHSCOPE_API_KEY=… python examples/qwen_films.py
"""

from multiturn import MultiTurn

with MultiTurn(model="qwen/qwen-plus", store="sqlite:///examples.db") as client:
    chat = client.conversation(system="你熟悉所有电影。")
    for question in ("推荐一部关于太空探索的科幻电影。", "这部电影的导演是谁？"):
        print("用户：", question)
        print("助手：", chat.send(question).text)
    print(chat.usage().usage.total, "tokens")
