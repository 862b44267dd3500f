local restricted = { ["X-Data-Class"] = "restricted" }
return {
  { "a misspelt setting is an error, not a rule that does nothing", with = { eu_team = { legal = true } },
    request = { team = "legal" }, denied = "policy_error" },
  { "others go anywhere", left = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" } },
  { "restricted data stays", request = { headers = restricted }, left = { "claude/sonnet", "vllm/coder" },
    notes = { residency = "eu: data class restricted" } },
  { "a team stays", with = { eu_teams = { legal = true } }, request = { team = "legal" },
    left = { "claude/sonnet", "vllm/coder" } },
  { "nobody is there", with = { region = "ap" }, request = { headers = restricted }, denied = "residency" },
  { "a class of one's own", with = { header = "x-class", classes = { "a", "b" } },
    request = { headers = { ["x-class"] = "b" } }, left = { "claude/sonnet", "vllm/coder" } },
  { "a failure brings nobody else in", request = { headers = restricted },
    answers = { ["claude/sonnet"] = { class = "overloaded" }, ["vllm/coder"] = { class = "overloaded" } },
    asked = { "claude/sonnet", "vllm/coder" }, status = 503 },
}
