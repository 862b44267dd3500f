-- strategies: the strategies of lua/lib/strategy.lua without a line of Lua: each entry of `order` takes the list that
-- the one before left. Without `order` only targets that can serve the request stay.
--
--   policy: { file: policies/strategies.lua,
--             with: { order: [{ use: fits }, { use: cheapest }, { use: sticky, key: x-session }] } }
--
-- use: fits (room), priority (names), weighted (weights), split (key, weights), cheapest (output), fastest (output),
-- least_busy (weights), with_budget (reserve), sticky (key), prefix (bytes), canary (key, share, which), near
-- (regions), within (regions), by_time (plan); as the last one mirror (to, share, key, beyond, timeout). A key is
-- caller, team, conversation or the name of a header.
local check = require("settings").of{ "order" }
local strategy = require("strategy")

local use = {
  -- while nobody can, weir's own errors say more than an empty list would
  fits = function(req, list, o)
    local able = strategy.fits(req, list, o.room)
    return #able > 0 and able or list
  end,
  priority = function(_, list, o) return strategy.priority(list, o.names) end,
  weighted = function(_, list, o) return strategy.weighted(list, o.weights, o.default) end,
  split = function(req, list, o) return strategy.split(list, strategy.key(req, o.key), o.weights, o.default) end,
  cheapest = function(req, list, o) return strategy.cheapest(req, list, o.output) end,
  fastest = function(_, list, o) return strategy.fastest(list, o.output) end,
  least_busy = function(_, list, o) return strategy.least_busy(list, o.weights) end,
  with_budget = function(req, list, o) return strategy.with_budget(req, list, o.reserve) end,
  sticky = function(req, list, o) return strategy.sticky(list, strategy.key(req, o.key)) end,
  prefix = function(req, list, o) return strategy.prefix(req, list, o.bytes) end,
  canary = function(req, list, o) return strategy.canary(list, strategy.key(req, o.key), o.share, o.which) end,
  near = function(_, list, o) return strategy.near(list, o.regions) end,
  within = function(_, list, o) return strategy.within(list, o.regions) end,
  by_time = function(_, list, o) return strategy.by_time(list, o.plan) end,
  mirror = function(req, list, o)
    return strategy.mirror(list, { to = o.to, share = o.share, key = o.key and strategy.key(req, o.key),
                                   beyond = o.beyond, timeout = o.timeout and { total = o.timeout } })
  end,
}

return {
  name = "strategies",
  on_request = function(req, cfg)
    check(cfg)
    local list = req.candidates
    for _, step in ipairs(cfg.order or { { use = "fits" } }) do
      local way = use[step.use] or error(("there is no strategy \"%s\""):format(tostring(step.use)))
      list = way(req, list, step)
    end
    note("strategies", list[1] or "none")
    return list
  end,
}
