"""Keep your own list of messages: fit cuts it to a window and says why. No store, no network, no key.
消息列表由您自己保管：fit 把它裁成一个窗口，并说明原因。不需要存储、网络和密钥。

Replaces the hand-written truncation that all vendors advise (“keep the newest messages”).
代替各家文档建议手写的截断（“只保留最近的消息”）。

    python examples/own_list.py
"""

from multiturn import ContextPolicy, fit

messages: list[dict[str, object]] = [{"role": "system", "content": "你是手机商店的店员。"}]
for number in range(1, 31):
    messages.append({"role": "user", "content": f"这款手机的第 {number} 个参数是什么意思？"})
    messages.append({"role": "assistant", "content": f"第 {number} 个参数说明一项性能，数字越大越好。"})
messages.append({"role": "user", "content": "那么我该买哪一款？"})

policy = ContextPolicy(budget=600)
window = fit(messages, policy, model="qwen/qwen-plus")
print(len(messages), "→", len(window.messages))
print(window.explain("zh"))

# Rounds later the cut is where it was, so prompt caches stay warm.  几轮之后截断点不变，提示词缓存仍然有效。
for question in ("它多少钱？", "有白色的吗？", "今天能送到吗？"):
    messages.append({"role": "assistant", "content": "推荐 X3，它屏幕大、重量轻、电池耐用。"})
    messages.append({"role": "user", "content": question})
later = fit(messages, policy, model="qwen/qwen-plus", previous=window)
print("same head 开头相同：", later.messages[: len(window.messages)] == window.messages)
