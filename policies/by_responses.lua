-- by_responses: some of OpenAI's models refuse tools beside a reasoning effort in chat completions, and take both by
-- the Responses API. Such requests go to the same model of a provider entry that speaks it; else the effort is lost.
--
--   providers: { openai: {}, openai-responses: {} }
--   policy: { file: policies/by_responses.lua, with: { from: openai, to: openai-responses, models: [gpt-5.6, gpt-6] } }
--
-- models: how the names of those models begin; without it, those that are known to refuse.
local check = require("settings").of{ "from", "to", "models" }
local known = { "gpt-5.4", "gpt-5.5", "gpt-5.6", "gpt-6" }

local function is_one(name, cfg)
  for _, begin in ipairs(cfg.models or known) do
    if name:sub(1, #begin) == begin then return true end
  end
  return false
end

local function wants_effort(req)
  local effort, budget = req.reasoning_effort, req.reasoning_budget
  return (effort and effort ~= "none") or (budget and budget ~= 0)
end

return {
  name = "by_responses",
  on_request = function(req, cfg)
    check(cfg)
    if not req.needs.tools or not wants_effort(req) then return end
    local from, to = cfg.from or "openai", cfg.to or "openai-responses"
    local there, has, moved = {}, {}, 0
    for i = 1, #req.candidates do
      local c = req.candidates[i]
      local moves = c.provider == from and is_one(c.model, cfg)
      local name = moves and (to .. "/" .. c.model) or c.name
      if not has[name] then there[#there + 1] = moves and name or c end
      has[name] = true
      moved = moved + (moves and 1 or 0)
    end
    if moved == 0 then return end
    note("by_responses", moved)
    return there
  end,
}
