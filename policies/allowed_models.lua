-- allowed_models: which targets each team may use, beside what its keys allow. What isn't allowed is no candidate,
-- also not after a failure; if nothing is left, the caller learns what its team may use.
--
--   policy: { file: policies/allowed_models.lua,
--             with: { teams: { research: ["claude/*", openai/gpt-4o], batch: ["vllm/*"] }, default: ["*"] } }
--
-- A star at the end matches anything. A team that isn't named has `default`; without it, nothing.
local check = require("settings").of{ "teams", "default" }

local function matches(name, pattern)
  if pattern:sub(-1) ~= "*" then return name == pattern end
  return name:sub(1, #pattern - 1) == pattern:sub(1, -2)
end

local function only_allowed(req, cfg)
  check(cfg)
  local team = req.principal.team
  local patterns = cfg.teams and cfg.teams[team] or cfg.default or {}
  local allowed = req.candidates:where(function(c)
    for _, pattern in ipairs(patterns) do
      if matches(c.name, pattern) then return true end
    end
    return false
  end)
  if #allowed < #req.candidates then note("allowed_models", allowed) end
  if #allowed == 0 then
    return deny{ status = 403, code = "model_not_allowed",
                 message = ("team %s may not use %s (it may use: %s)"):format(team, req.model, table.concat(patterns,
                     ", ")) }
  end
  return allowed
end

return {
  name = "allowed_models",
  on_error = "deny",
  on_request = function(req, cfg) return only_allowed(req, cfg) end,
  -- a rule behind this one may have brought other targets in
  on_failure = function(req, _, cfg)
    if #req.candidates > 0 then return only_allowed(req, cfg) end
  end,
}
