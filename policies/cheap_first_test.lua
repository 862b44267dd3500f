return {
  { "the cheapest that can", left = { "vllm/coder", "openai/gpt-4o-mini", "openai/gpt-4o", "claude/sonnet" },
    notes = { cheap_first = "cheap" } },
  { "the best on request", request = { headers = { ["x-quality"] = "best" } },
    left = { "claude/sonnet", "openai/gpt-4o", "openai/gpt-4o-mini", "vllm/coder" } },
  { "hard by effort", request = { fields = { reasoning_effort = "high" } }, notes = { cheap_first = "best" } },
  { "nothing too dear", with = { max_price = 1 }, left = { "vllm/coder", "openai/gpt-4o-mini" } },
  { "only those with room", targets = { { name = "a/small", context = 20, price = 1 },
                                        { name = "a/big", context = 9000, price = 2 } },
    request = { text = ("word "):rep(100) }, left = { "a/big" } },
}
