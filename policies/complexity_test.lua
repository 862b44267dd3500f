local puzzle = "If each of 12 boxes holds twice as many balls as the one before, and the first holds 3, how many " ..
  "balls are there in all boxes together? Suppose then that half of them, except those in the last box, are " ..
  "red. How many red balls per box?"

return {
  { "nothing unless it is told what is hard", request = { text = puzzle }, notes = {} },
  { "an easy one", with = { hard = 0.7 }, request = { text = "Say hello." },
    left = { "vllm/coder", "openai/gpt-4o-mini", "openai/gpt-4o", "claude/sonnet" } },
  { "a hard one", with = { hard = 0.7 }, request = { text = puzzle },
    left = { "claude/sonnet", "openai/gpt-4o", "openai/gpt-4o-mini", "vllm/coder" } },
  { "hard by effort", with = { hard = 0.99 }, request = { text = "Say hello.", fields = { reasoning_effort = "high" } },
    left = { "claude/sonnet", "openai/gpt-4o", "openai/gpt-4o-mini", "vllm/coder" } },
  { "tags name the two", with = { hard = 0.7, strong = "big", cheap = "small" },
    targets = { { name = "a/one", price = 1, tags = { "big" } }, { name = "a/two", price = 9, tags = { "small" } } },
    request = { text = puzzle }, left = { "a/one", "a/two" } },
}
