-- Ways to choose among candidates. Each is a short function of its own: use it, or copy it into your policy and change
-- it. All take a list of candidates and give a list, so they chain: strategy.sticky(strategy.fits(req,
-- req.candidates), key). None loses a candidate unless its text says so: what comes behind the first is what answers
-- when the first fails.
local M = {}

-- Only those that can serve the request: up, with all capabilities it needs and room for its input. `room` is how much
-- bigger than the estimate the context must be (default 1.2: estimates err).
function M.fits(req, candidates, room)
  local tokens = req.tokens * (room or 1.2)
  return candidates:where{ healthy = true, capabilities = req.needs }:where(function(c) return c.context >= tokens end)
end

-- In the order of these names (targets or providers); who isn't named comes last.
function M.priority(candidates, names)
  local rank = {}
  for i, name in ipairs(names) do rank[name] = rank[name] or i end
  return candidates:by(function(c) return rank[c.name] or rank[c.provider] or math.huge end)
end

-- At random, in proportion to weights by name or provider; a candidate without a weight counts `default` (0: last).
function M.weighted(candidates, weights, default)
  return candidates:by(function(c)
    local weight = weights[c.name] or weights[c.provider] or default or 0
    if weight <= 0 then return math.huge end
    return -math.log(1 - random()) / weight
  end)
end

-- As weighted, but the same key gets the same order: a hash takes the place of chance. When a weight changes, only as
-- many keys move as it takes.
function M.split(candidates, key, weights, default)
  return candidates:by(function(c)
    local weight = weights[c.name] or weights[c.provider] or default or 0
    if weight <= 0 then return math.huge end
    return -math.log(1 - hash.share(key .. "\n" .. c.name)) / weight
  end)
end

-- What this request would cost, the least first: its input as estimated, and as much output as it allows (at most
-- `output`, 500).
function M.cheapest(req, candidates, output)
  local tokens = req.tokens
  output = math.min(req.max_tokens or math.huge, output or 500)
  return candidates:by(function(c) return c.price_input * tokens + c.price_output * output end)
end

-- The time until an answer of `output` tokens (200) is there, the shortest first. Whom nobody has measured counts as
-- fast and so comes to be measured.
function M.fastest(candidates, output)
  return candidates:by(function(c)
    local speed = c.throughput
    return c.latency + (speed > 0 and (output or 200) / speed or 0)
  end)
end

-- The fewest calls running, in proportion to weights if there are any; equal ones by chance, so that not all go to the
-- first.
function M.least_busy(candidates, weights)
  return candidates:by(function(c)
    local weight = weights and (weights[c.name] or weights[c.provider]) or 1
    return (c.load + random()) / weight
  end)
end

-- First those whose provider still allows `reserve` (2) times what this request takes, as its headers last said.
function M.with_budget(req, candidates, reserve)
  local tokens = req.tokens * (reserve or 2)
  return candidates:by(function(c) return c.left_requests >= 1 and c.left_tokens >= tokens and 0 or 1 end)
end

-- The same first candidate for the same key, the others behind it; when candidates come or go, only the keys of those
-- move (rendezvous hashing), and come back with them.
function M.sticky(candidates, key)
  return candidates:by(function(c) return -hash.share(key .. "\n" .. c.name) end)
end

-- Keys for sticky and split: "caller", "team", "conversation" (its first two messages), or the name of a header
-- (without it: the caller).
function M.key(req, what)
  local principal = req.principal
  if what == "team" then return principal.team end
  if what == "conversation" then
    local first, second = req.messages[1], req.messages[2]
    return table.concat({ principal.name, first and first.text:sub(1, 2000) or "", second and second.text:sub(1,
        2000) or "" }, "\n")
  end
  return what and what ~= "caller" and req.headers[what] or principal.name
end

-- Prompts that begin alike go to the same candidate, where the provider's cache knows their beginning: tools and
-- system prompts, else the first message, up to `bytes` (4000) of it.
function M.prefix(req, candidates, bytes)
  local parts, messages = {}, req.messages
  for i, tool in ipairs(req.tools) do parts[i] = tool.name end
  for i = 1, #messages do
    local m = messages[i]
    if i > 1 and m.role ~= "system" then break end
    parts[#parts + 1] = m.text:sub(1, bytes or 4000)
  end
  return M.sticky(candidates, table.concat(parts, "\n"):sub(1, bytes or 4000))
end

-- For a share of callers (0 to 1), the same callers each time: is this key among them?
function M.is_in_share(key, share)
  return hash.share(key) < share
end

-- A new target for a share of keys: those get it first, all others last. `which` is as in where{}.
function M.canary(candidates, key, share, which)
  local new = candidates:where(which)
  if #new == 0 or M.is_in_share(key .. "\n" .. new[1].name, share) then return candidates:prefer(which) end
  local names = {}
  for _, c in ipairs(new) do names[c.name] = true end
  return candidates:by(function(c) return names[c.name] and 1 or 0 end)
end

-- A copy of a share of the requests goes to another model as well, whose answer nobody gets: the record says what
-- became of both. `plan`: to (a target's name), share (0 to 1; 1), key (the same share of keys each time; else by
-- chance), beyond (also if it is no candidate, or the caller has no right to it), set, headers and timeout as of any
-- candidate. It gives a table for the hook to return, so it comes last in a chain.
function M.mirror(candidates, plan)
  local list, to = {}, plan.beyond and plan.to
  for _, c in ipairs(candidates) do
    if c.name == plan.to then to = c else list[#list + 1] = c end
  end
  if #list == 0 then return candidates end -- it is the only one that can answer
  if not to then
    note("mirror", plan.to .. " is no candidate")
    return list
  end
  local share = plan.share or 1
  local gets_it = plan.key and M.is_in_share(plan.key .. "\n" .. plan.to, share) or not plan.key and random() < share
  if gets_it then
    list[#list + 1] = { to, mirror = true, beyond = plan.beyond, set = plan.set, headers = plan.headers,
                        timeout = plan.timeout }
  end
  return list
end

-- Regions by preference: the first one's targets first, and so on; targets elsewhere last.
function M.near(candidates, regions)
  for i = #regions, 1, -1 do candidates = candidates:prefer{ region = regions[i] } end
  return candidates
end

-- Only targets in these regions. An empty list denies the request: data stays where it must.
function M.within(candidates, regions)
  return candidates:where{ region = regions }
end

-- By the clock: `plan` is a list of { from = "08:00", to = "18:00", days = { 1, 2 }, zone = "Europe/Berlin", first =
-- {…} }; the first entry whose time it is says who comes first (as in where{}). Days: 1 is Monday; without them every
-- day.
function M.by_time(candidates, plan)
  for _, entry in ipairs(plan) do
    local is_day = not entry.days
    for _, day in ipairs(entry.days or {}) do
      is_day = is_day or day == clock.date(entry.zone).wday
    end
    if is_day and clock.between(entry.from, entry.to, entry.zone) then return candidates:prefer(entry.first) end
  end
  return candidates
end

return M
