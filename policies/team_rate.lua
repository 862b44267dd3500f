-- team_rate: so many requests, and so many estimated tokens, a minute for each team; over all workers.
--
--   policy: { file: policies/team_rate.lua, with: { default: { requests: 60, tokens: 100000 },
--                                                   teams: { batch: { requests: 10 } } } }
local check = require("settings").of{ "default", "teams" }
local limit = require("limit")

local function over(what, team, max, by)
  local wait = max and limit.over(what .. ":" .. team, 60, max, by)
  if not wait then return end
  return deny{ status = 429, code = "team_rate", retry_after = math.ceil(wait),
               message = ("team %s has used its %d %s of this minute"):format(team, max, what) }
end

return {
  name = "team_rate",
  on_request = function(req, cfg)
    check(cfg)
    local team = req.principal.team
    local own = cfg.teams and cfg.teams[team] or cfg.default
    if not own then return end
    return over("requests", team, own.requests, 1) or over("tokens", team, own.tokens, req.tokens)
  end,
}
