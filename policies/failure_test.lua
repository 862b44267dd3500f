local long = ("word "):rep(1000)
return {
  { "too long: those with room, the cheapest first", request = { text = long },
    targets = { { name = "vllm/coder", context = 1100, price = 0.1 }, { name = "a/big", context = 200000, price = 9 },
                { name = "b/big", context = 200000, price = 2 } },
    answers = { ["vllm/coder"] = { class = "context_length" } },
    asked = { "vllm/coder", "b/big" } },
  { "too long for all: the configured ones", with = { long_context = { "b/huge" } }, request = { text = long },
    targets = { { name = "a/one", context = 1000 }, { name = "b/huge", context = 1200 } },
    answers = { ["a/one"] = { class = "context_length" } }, asked = { "a/one", "b/huge" } },
  { "a short wait, then the same again", with = { patience = 5 },
    answers = { ["openai/gpt-4o"] = { { class = "rate_limited", retry_after = 1 }, "Now." } },
    asked = { "openai/gpt-4o", "openai/gpt-4o" }, answer = "Now.", waited = { 1, 1.1 } },
  { "a long wait is not begun", answers = { ["openai/gpt-4o"] = { class = "rate_limited", retry_after = 30 } },
    asked = { "openai/gpt-4o", "openai/gpt-4o-mini" }, waited = 0 },
  { "refused content is the caller's", answers = { ["openai/gpt-4o"] = { class = "content_policy" } },
    asked = { "openai/gpt-4o" }, denied = "content_policy" },
}
