-- cheap_first: the cheapest target that can serve the request comes first; long or difficult requests go to the better
-- ones at once. Callers choose with a header: x-quality: best | cheap.
--
--   policy: { file: policies/cheap_first.lua, with: { hard_tokens: 8000, max_price: 20 } }
local check = require("settings").of{ "hard_tokens", "max_price" }
local strategy = require("strategy")

local function is_hard(req, cfg)
  if req.headers["x-quality"] then return req.headers["x-quality"] == "best" end
  local effort = req.reasoning_effort
  return req.tokens > (cfg.hard_tokens or 8000) or effort == "high" or effort == "xhigh" or effort == "max"
end

return {
  name = "cheap_first",
  on_request = function(req, cfg)
    check(cfg)
    local able = strategy.fits(req, req.candidates)
    if #able == 0 then return end -- the usual errors say more than this rule could
    if cfg.max_price then
      local affordable = able:where(function(c) return c.price <= cfg.max_price end)
      if #affordable > 0 then able = affordable end
    end
    local is_best = is_hard(req, cfg)
    note("cheap_first", is_best and "best" or "cheap")
    return able:by(is_best and "-price" or "price")
  end,
}
