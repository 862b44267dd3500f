-- residency: requests with restricted data, and all requests of some teams, stay in a region. If no target there can
-- answer, the request is denied: it never leaves by mistake, also not when another target fails later.
--
--   policy: { file: policies/residency.lua, with: { region: eu, header: x-data-class, classes: [restricted, personal],
--                                                   eu_teams: { legal: true } } }
local check = require("settings").of{ "region", "header", "classes", "eu_teams" }

local function has(list, value)
  for _, v in ipairs(list) do
    if v == value then return true end
  end
  return false
end

local function must_stay(req, cfg)
  local class = req.headers[cfg.header or "x-data-class"]
  if class and has(cfg.classes or { "restricted" }, class) then return "data class " .. class end
  local team = req.principal.team
  if cfg.eu_teams and cfg.eu_teams[team] then return "team " .. team end
end

local function only_there(req, cfg)
  check(cfg)
  local why = must_stay(req, cfg)
  if not why then return end
  local region = cfg.region or "eu"
  local there = req.candidates:where{ region = region }
  note("residency", region .. ": " .. why)
  if #there == 0 then
    return deny{ status = 403, code = "residency",
                 message = ("%s must stay in %s, and no target of %s is there"):format(why, region, req.model) }
  end
  return there
end

return {
  name = "residency",
  on_error = "deny",
  on_request = function(req, cfg) return only_there(req, cfg) end,
  -- a rule behind this one may have brought other targets in
  on_failure = function(req, _, cfg)
    if #req.candidates > 0 then return only_there(req, cfg) end
  end,
}
