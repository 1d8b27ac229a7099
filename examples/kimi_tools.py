"""Tools over two steps: call, result and answer are one turn. Inside it reasoning goes back, as Kimi demands.
两步使用工具：调用、结果和回答合为一轮。在这一轮之内，思考过程按 Kimi 的要求发回。

Replaces Kimi's guide “使用 Kimi API 完成工具调用(tool_calls)”.
代替 Kimi 的指南《使用 Kimi API 完成工具调用(tool_calls)》
(platform.moonshot.cn/docs/guide/use-kimi-api-to-complete-tool-calls)。

    MOONSHOT_API_KEY=… python examples/kimi_tools.py
"""

import json

from multiturn import MultiTurn

TRAINS = {"苏州": "G7012 次，09:15 发车", "杭州": "G7349 次，10:02 发车"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "next_train", "description": "查询从上海到某地的下一班火车", "parameters": CITY}


def next_train(city: str) -> str:
    """What the model may ask for."""
    return TRAINS.get(city, "今天没有车了")


with MultiTurn(model="kimi/kimi-k2.6", store="sqlite:///examples.db") as client:
    chat = client.conversation(system="你是车站的问讯员。")
    reply = chat.send("去苏州的下一班车是几点？", tools=[{"type": "function", "function": TOOL}])
    while reply.tool_calls:
        results = {call.id: next_train(**json.loads(call.arguments)) for call in reply.tool_calls}
        reply = chat.send(tool_results=results)
    print(reply.text)
    print(len(chat.turns()), "turn 轮：", *(message.role for message in chat.history()))
