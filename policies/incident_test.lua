local function says(yaml) return { ["incident.yaml"] = yaml } end
local all = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" }
return {
  { "a usual day", data = says{ avoid = {}, stop = {} }, left = all, notes = { incident = "" } },
  { "a provider is avoided", data = says{ avoid = { "openai" } }, left = { "claude/sonnet", "vllm/coder" } },
  { "a target is avoided", data = says{ avoid = { "claude/sonnet" } },
    left = { "openai/gpt-4o", "openai/gpt-4o-mini", "vllm/coder" } },
  { "nothing else is left: it answers", data = says{ avoid = { "openai", "claude", "vllm" } }, left = all },
  { "stopped is stopped", data = says{ stop = { "openai", "claude", "vllm" } }, denied = "incident", status = 503 },
  { "the spare one", with = { spare = { "vllm/coder" } }, data = says{ stop = { "openai", "claude", "vllm" } },
    asked = { "vllm/coder" }, notes = { incident = "spare" } },
  { "a broken file is no incident of its own", data = says{ stop = 7 }, left = all },
  { "short answers", data = says{ cap = 500 }, request = { fields = { max_tokens = 4000 } },
    sent = { max_tokens = 500 } },
  { "closed", data = says{ closed = "Back at 15:00." }, denied = "incident", status = 503 },
}
