-- mirror: a share of the requests goes to another model as well. Its answer goes nowhere; the log has a line for each
-- copy, with the id of the request it was made of, which tells latency, tokens, cost and end of both.
--
--   policy: { file: policies/mirror.lua, with: { to: openai/gpt-5-mini, share: 0.05 } }
--
-- to: the other target; share: 0 to 1 [0.01]. key: caller, team, conversation or the name of a header, of which the
-- same share is taken each time; without it chance decides. teams: only these. beyond: it need not be a candidate, nor
-- the caller have a right to it. timeout: seconds after which the copy is given up [60]. max_tokens: of the copy's
-- answer.
local check = require("settings").of{ "to", "share", "key", "teams", "beyond", "timeout", "max_tokens" }
local strategy = require("strategy")

local function is_among(list, value)
  if not list then return true end
  for _, v in ipairs(list) do
    if v == value then return true end
  end
  return false
end

return {
  name = "mirror",
  on_error = "pass",
  on_request = function(req, cfg)
    check(cfg)
    local share = is_among(cfg.teams, req.principal.team) and (cfg.share or 0.01) or 0
    return strategy.mirror(req.candidates, {
      to = cfg.to, share = share, key = cfg.key and strategy.key(req, cfg.key), beyond = cfg.beyond,
      set = cfg.max_tokens and { max_tokens = cfg.max_tokens }, timeout = { total = cfg.timeout or 60 },
    })
  end,
}
