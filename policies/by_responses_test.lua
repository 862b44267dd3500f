local targets = { { name = "openai/gpt-5.6-mini" }, { name = "openai/gpt-4o" },
  { name = "openai-responses/gpt-5.6-mini" } }
local as_they_were = { "openai/gpt-5.6-mini", "openai/gpt-4o", "openai-responses/gpt-5.6-mini" }
local tools = { { name = "f", description = "d", schema = { type = "object" } } }
local low = { text = "hi", tools = tools, fields = { reasoning_effort = "low" } }
return {
  { "both", targets = targets, request = low,
    left = { "openai-responses/gpt-5.6-mini", "openai/gpt-4o" }, notes = { by_responses = "1" } },
  { "a budget is an effort", targets = targets,
    request = { text = "hi", tools = tools, fields = { reasoning_budget = 2000 } },
    left = { "openai-responses/gpt-5.6-mini", "openai/gpt-4o" } },
  { "no tools", targets = targets, request = { text = "hi", fields = { reasoning_effort = "low" } },
    left = as_they_were },
  { "no effort", targets = targets,
    request = { text = "hi", tools = tools, fields = { reasoning_effort = "none" } },
    left = as_they_were },
  { "models of one's own choice", targets = targets, with = { models = { "gpt-4" } },
    request = low, asked = { "openai/gpt-5.6-mini" } },
  { "from elsewhere to elsewhere", targets = { { name = "a/gpt-5.4" }, { name = "b/gpt-5.4" } },
    with = { from = "a", to = "b" },
    request = low, left = { "b/gpt-5.4" } },
}
