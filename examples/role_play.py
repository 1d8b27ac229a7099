"""A character with a persona and an opening line; an answer you do not like is given once more.
角色扮演：人设、开场白；不满意的回答可以重新生成。

Replaces Model Studio's page “Role play (Qwen-Character)”.
代替阿里云百炼《角色扮演（Qwen-Character）》(help.aliyun.com/zh/model-studio/role-play)。

    DASHSCOPE_API_KEY=… python examples/role_play.py
"""

from multiturn import MultiTurn

PERSONA = """你是沈砚，二十六岁，山城一家旧书店的老板，话不多，爱喝茶。用户是常来的顾客。
每次只说一两句话，动作写在括号里。"""
OPENING = "（从书堆后面抬起头）来了？茶刚泡好。"

with MultiTurn(model="qwen/qwen-plus-character", store="sqlite:///examples.db") as client:
    chat = client.conversation(system=PERSONA, opening=OPENING)
    print("沈砚：", OPENING)
    print("沈砚：", chat.send("今天有什么好书？").text)
    print("沈砚（重说）：", chat.regenerate().text)
    print("沈砚：", chat.send("那就要这一本。").text)

    for branch in chat.branches():
        print("branch 分支", branch.number, "in use 使用中" if branch.in_use else "kept 保留")
    for message in chat.history():
        print(f"{message.role}: {message.text}")
