-- Ways to order candidates. Each function takes a list of candidates and gives a list, so they can be chained with the
-- list's own methods: strategy.sticky(req.candidates:where{ region = "eu" }, key).
local M = {}

-- Those that can serve the request: up, with all capabilities it needs and room for its input.
-- `room` is how much bigger than the estimate the context must be (default 1.2: estimates err).
function M.fits(req, candidates, room)
  local needs, tokens = req.needs, req.tokens * (room or 1.2)
  return candidates:where(function(c)
    if not c.healthy or c.context < tokens then return false end
    local can = c.capabilities
    for need in pairs(needs) do
      if not can[need] then return false end
    end
    return true
  end)
end

-- The same first candidate for the same key, the others behind it; when candidates come or go, only the keys of those
-- move (rendezvous hashing). A conversation that stays where it was finds its prompt in the provider's cache.
function M.sticky(candidates, key)
  return candidates:by(function(c) return -hash.share(key .. "\n" .. c.name) end)
end

-- At random, in proportion to weights by name or provider; a candidate without a weight counts `default` (0: last).
function M.weighted(candidates, weights, default)
  return candidates:by(function(c)
    local weight = weights[c.name] or weights[c.provider] or default or 0
    if weight <= 0 then return math.huge end
    return -math.log(1 - random()) / weight
  end)
end

-- For a share of callers (0 to 1), the same callers each time: is this key among them?
function M.is_in_share(key, share)
  return hash.share(key) < share
end

return M
