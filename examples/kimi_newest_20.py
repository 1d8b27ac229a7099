"""Kimi: “I am 27”, and the rule of the newest 20 messages with the system prompt kept.
Kimi：“我今年 27 岁”，以及只发送最新 20 条消息、始终保留 system prompt 的规则。

Replaces Kimi's guide “使用 Kimi API 进行多轮对话” with its make_messages()
(platform.kimi.ai/docs/guide/engage-in-multi-turn-conversations-using-kimi-api).
代替 Kimi 的指南《使用 Kimi API 进行多轮对话》及其中的 make_messages()。

    MOONSHOT_API_KEY=… python examples/kimi_newest_20.py
"""

from multiturn import ContextPolicy, MultiTurn

ELSEWHERE = [  # ten rounds that were spoken in another program  在别的程序里进行的十轮对话
    {"role": role, "content": text}
    for day in range(1, 11)
    for role, text in (("user", f"第 {day} 天，我跑了 {day} 公里。"), ("assistant", "真棒！"))
]

policy = ContextPolicy.last_messages(20)
with MultiTurn(model="kimi/kimi-k2.6", store="sqlite:///examples.db", policy=policy) as client:
    chat = client.conversation(system="你是 Kimi，回答要简短。")
    chat.send("你好，我今年 27 岁。")
    print(chat.send("你知道我今年几岁吗？").text)

    chat.add(ELSEWHERE)
    reply = chat.send("我第 10 天跑了几公里？")
    print(reply.text)
    print(len(reply.window.messages), "messages sent 条消息已发送，", len(chat.history()), "stored 条已保存")
    print(reply.window.explain("zh"))
