"""A thinking model: its reasoning is streamed and stored, and not sent back in the next round.
思考模型：思考过程流式输出并保存，下一轮不再发回。

Replaces Model Studio's page “Deep thinking”, where the caller leaves reasoning_content out by hand.
代替阿里云百炼《深度思考》：那里由调用方手动去掉 reasoning_content
(help.aliyun.com/zh/model-studio/deep-thinking)。

    DASHSCOPE_API_KEY=… python examples/qwen_thinking.py
"""

from multiturn import MultiTurn

with MultiTurn(model="qwen/qwen-plus", store="sqlite:///examples.db") as client:
    chat = client.conversation()
    for question in ("17 乘 23 等于多少？", "再加 9 呢？"):
        print("\n用户：", question)
        with chat.stream(question, params={"enable_thinking": True}) as stream:
            print("思考： ", end="")
            thinking = True
            for delta in stream:
                if thinking and delta.text:
                    print("\n回答： ", end="")
                    thinking = False
                print(delta.text or delta.reasoning or "", end="", flush=True)
        print()

    print("\nsent in the second request 第二次请求发送的消息：")
    for message in stream.reply.window.messages:
        print("-", message)
    print("stored 已保存：", *(message.reasoning for message in chat.history() if message.reasoning))
