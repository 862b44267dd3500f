-- canary: a share of the callers gets a new target first, always the same callers; the old ones stay behind it. When
-- the new one fails too often it gets nobody until it has recovered.
--
--   policy: { file: policies/canary.lua, with: { to: openai/gpt-5-mini, share: 0.05, max_errors: 0.1, always:
-- [platform] } }
--
-- to: the new target; it need not be one of the asked model's own. always: teams that get it in any case. key: caller
-- (default), team, conversation or the name of a header: what keeps its side.
local check = require("settings").of{ "to", "share", "max_errors", "always", "key" }
local strategy = require("strategy")

local function has(list, value)
  for _, v in ipairs(list or {}) do
    if v == value then return true end
  end
  return false
end

return {
  name = "canary",
  on_error = "pass",
  on_request = function(req, cfg)
    check(cfg)
    local key = strategy.key(req, cfg.key) .. "\n" .. cfg.to
    local gets_it = has(cfg.always, req.principal.team) or strategy.is_in_share(key, cfg.share or 0.05)
    local list = {}
    for _, c in ipairs(req.candidates) do
      if c.name ~= cfg.to then
        list[#list + 1] = c
      elseif c.error_rate > (cfg.max_errors or 0.1) or not c.healthy then
        note("canary", "unwell")
        local others = req.candidates:without{ name = cfg.to }
        return #others > 0 and others or nil
      end
    end
    tag("canary", gets_it and "new" or "old")
    if gets_it then table.insert(list, 1, cfg.to) end
    return #list > 0 and list or nil
  end,
}
