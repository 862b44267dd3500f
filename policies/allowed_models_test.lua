local with = { teams = { research = { "claude/*", "openai/gpt-4o" }, batch = { "vllm/*" }, guests = {} } }
return {
  { "by pattern and by name", with = with, request = { team = "research" },
    left = { "openai/gpt-4o", "claude/sonnet" } },
  { "a name is no beginning", with = { teams = { research = { "openai/gpt-4o" } } }, request = { team = "research" },
    left = { "openai/gpt-4o" } },
  { "others: nothing", with = with, request = { team = "sales" }, denied = "model_not_allowed", status = 403 },
  { "others: the default", with = { teams = {}, default = { "*" } },
    left = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" }, notes = { allowed_models = "" } },
  { "an empty list is nothing, whatever the default", with = { teams = { guests = {} }, default = { "*" } },
    request = { team = "guests" }, denied = "model_not_allowed" },
  { "a failure brings nobody else in", with = with, request = { team = "research" },
    answers = { ["openai/gpt-4o"] = { class = "overloaded" }, ["claude/sonnet"] = { class = "overloaded" } },
    asked = { "openai/gpt-4o", "claude/sonnet" }, status = 503 },
  { "a misspelt setting is an error", with = { team = {} }, denied = "policy_error" },
}
