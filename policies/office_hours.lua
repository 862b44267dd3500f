-- office_hours: outside of working hours some teams get the cheapest target, and batch jobs only run then.
--
--   policy:
--     file: policies/office_hours.lua
--     with: { zone: Europe/Berlin, from: "08:00", to: "18:00", night_teams: [batch], cheap_teams: [internal-tools] }
local check = require("settings").of{ "zone", "from", "to", "night_teams", "cheap_teams" }

local function has(list, value)
  for _, v in ipairs(list or {}) do
    if v == value then return true end
  end
  return false
end

local function is_office_time(cfg)
  local day = clock.date(cfg.zone or "UTC").wday
  return day <= 5 and clock.between(cfg.from or "08:00", cfg.to or "18:00", cfg.zone or "UTC")
end

return {
  name = "office_hours",
  on_request = function(req, cfg)
    check(cfg)
    local team = req.principal.team
    if is_office_time(cfg) then
      if not has(cfg.night_teams, team) then return end
      return deny{ status = 429, code = "office_hours", retry_after = 900,
                   message = ("team %s may send requests outside of %s-%s"):format(team, cfg.from, cfg.to) }
    end
    if has(cfg.cheap_teams, team) then
      note("office_hours", "cheapest")
      return req.candidates:by("price"):prefer{ healthy = true }
    end
  end,
}
