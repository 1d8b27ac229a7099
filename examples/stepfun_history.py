"""StepFun: the history lies in a database, its newest messages are sent in time order, the reply is streamed.
阶跃星辰：历史保存在数据库里，按时间正序发送其中最新的消息，回复流式输出。

Replaces StepFun's guide “多轮对话上下文管理” (platform.stepfun.com/docs/guide/multiple_round).
代替阶跃星辰的开发指南《多轮对话上下文管理》。

    STEP_API_KEY=… python examples/stepfun_history.py
"""

from multiturn import ContextPolicy, MultiTurn

MODEL, STORE = "stepfun/step-3.7-flash", "sqlite:///examples.db"
OLDER = [
    {"role": "system", "content": "你是旅行社的助手，回答要简短。", "created_at": "2026-05-01T10:00+08:00"},
    {"role": "user", "content": "我想去海边。", "created_at": "2026-05-01T10:01+08:00"},
    {"role": "assistant", "content": "青岛和三亚都很好。", "created_at": "2026-05-01T10:01:05+08:00"},
    {"role": "user", "content": "我叫小林，决定去青岛。", "created_at": "2026-05-02T09:30+08:00"},
    {"role": "assistant", "content": "好的，去青岛，我记下了。", "created_at": "2026-05-02T09:30:04+08:00"},
    {"role": "user", "content": "我住三个晚上。", "created_at": "2026-05-02T09:31+08:00"},
    {"role": "assistant", "content": "好的，三个晚上。", "created_at": "2026-05-02T09:31:03+08:00"},
]

with MultiTurn(model=MODEL, store=STORE) as client:
    chat = client.conversation(user="lin")
    chat.add(OLDER)

# Another process, another day: all it needs is the id.  另一个进程，另一天：只需要对话的 id。
with MultiTurn(model=MODEL, store=STORE, policy=ContextPolicy.last_messages(5)) as client:
    chat = client.conversation(chat.id, user="lin")
    with chat.stream("我决定去哪里？") as stream:
        for delta in stream:
            print(delta.text, end="", flush=True)
    print("\n" + stream.reply.window.explain("zh"))
