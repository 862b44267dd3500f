return {
  { "as it stands it changes nothing", request = { text = "hello" },
    left = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" } },
  { "a cap on the answer", with = { max_output = 4000 },
    edits = { max_tokens = "4000" }, notes = { max_output = "4000" } },
  { "a smaller wish stays", with = { max_output = 4000 }, request = { fields = { max_tokens = 100 } },
    notes = { max_output = "" } },
  { "a failure goes on with the next", failure = { class = "overloaded", target = "openai/gpt-4o" },
    left = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" } },
}
