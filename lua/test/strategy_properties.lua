-- What must hold of the strategies whatever the key or the chance: checked over thousands of draws in one request, in
-- the production engine, on real candidates. A property that does not hold is an error, and so fails the case.
local strategy = require("strategy")

local function without(list, name)
  return list:where(function(c) return c.name ~= name end)
end

local function near(share, want, tolerance, what)
  if math.abs(share - want) > tolerance then
    error(("%s: %.3f instead of %.3f"):format(what, share, want))
  end
end

-- How often each comes first, as a share of all.
local function firsts(n, choose)
  local count = {}
  for i = 1, n do
    local name = choose(i)[1].name
    count[name] = (count[name] or 0) + 1 / n
  end
  return count
end

local properties = {}

-- When a target dies only its keys move, they spread over all others, and they come back with it.
function properties.sticky(list, n)
  local dead, moved = list[2].name, {}
  local left = without(list, dead)
  local deaths = 0
  for i = 1, n do
    local before, after = strategy.sticky(list, "k" .. i):names(), strategy.sticky(left, "k" .. i):names()
    if before[1] == dead then
      deaths = deaths + 1
      moved[after[1]] = (moved[after[1]] or 0) + 1
      if after[1] ~= before[2] then error("not to the second") end
    elseif after[1] ~= before[1] then
      error("k" .. i .. " moved from a target that lives")
    end
    if strategy.sticky(list, "k" .. i)[1].name ~= before[1] then error("k" .. i .. " did not come back") end
  end
  near(deaths / n, 1 / #list, 0.06, "the dead one's share")
  for _, c in ipairs(left) do near((moved[c.name] or 0) / deaths, 1 / #left, 0.15, c.name) end
end

function properties.weighted(list, n)
  local weights = { [list[1].name] = 6, [list[2].name] = 3, [list[3].name] = 1 }
  local share = firsts(n, function() return strategy.weighted(list, weights) end)
  for name, weight in pairs(weights) do near(share[name] or 0, weight / 10, 0.05, name) end
  if share[list[4].name] then error("one without a weight came first") end
end

-- The same shares by hash; and doubling one weight moves keys to this one only.
function properties.split(list, n)
  local weights = { [list[1].name] = 6, [list[2].name] = 3, [list[3].name] = 1 }
  local share = firsts(n, function(i) return strategy.split(list, "k" .. i, weights) end)
  for name, weight in pairs(weights) do near(share[name] or 0, weight / 10, 0.05, name) end
  local grown, name = { [list[1].name] = 6, [list[2].name] = 3, [list[3].name] = 2 }, list[3].name
  for i = 1, n do
    local old, new = strategy.split(list, "k" .. i, weights)[1].name, strategy.split(list, "k" .. i, grown)[1].name
    if old ~= new and new ~= name then error("k" .. i .. " moved elsewhere") end
  end
end

-- The share of callers is as asked, and who has the new one keeps it when the share grows.
function properties.canary(list, n)
  local which = { name = list[3].name }
  local function gets(i, share) return strategy.canary(list, "k" .. i, share, which)[1].name == which.name end
  local count = 0
  for i = 1, n do
    if gets(i, 0.2) then
      count = count + 1
      if not gets(i, 0.3) then error("k" .. i .. " lost it") end
    end
  end
  near(count / n, 0.2, 0.05, "the share")
end

-- The share of copies is as asked, by key and by chance; nobody else is lost, and who gets a copy is never asked to
-- answer.
function properties.mirror(list, n)
  local to, by_key, by_chance = list[2].name, 0, 0
  local function gets(plan)
    plan.to = to
    local got = strategy.mirror(list, plan)
    local copy = type(got[#got]) == "table" and got[#got]
    for i = 1, #list - 1 do
      if got[i] ~= list[i < 2 and i or i + 1] then error("another list") end
    end
    if #got ~= #list - 1 + (copy and 1 or 0) then error("one is lost") end
    return copy and copy.mirror and copy[1].name == to
  end
  for i = 1, n do
    by_key = by_key + (gets{ key = "k" .. i, share = 0.2 } and 1 or 0)
    by_chance = by_chance + (gets{ share = 0.2 } and 1 or 0)
    if gets{ key = "k" .. i, share = 0.2 } and not gets{ key = "k" .. i, share = 0.3 } then error("it lost it") end
  end
  near(by_key / n, 0.2, 0.05, "by key")
  near(by_chance / n, 0.2, 0.05, "by chance")
end

function properties.least_busy(list, n)
  local share = firsts(n, function() return strategy.least_busy(list) end)
  for _, c in ipairs(list) do near(share[c.name] or 0, 1 / #list, 0.06, c.name) end
end

-- Nobody is lost and nobody comes twice.
function properties.whole(list, n)
  local plan = { { from = "00:00", to = "24:00", first = { region = "eu" } } }
  for i = 1, n do
    for _, got in ipairs{ strategy.sticky(list, "k" .. i), strategy.weighted(list, {}), strategy.split(list,
        "k" .. i, {}, 1),
                          strategy.fastest(list), strategy.least_busy(list), strategy.priority(list, {}),
                          strategy.canary(list, "k" .. i, 0.5, { region = "us" }), strategy.near(list, { "us", "eu" }),
                          strategy.by_time(list, plan) } do
      local names, seen = got:names(), {}
      for _, name in ipairs(names) do seen[name] = true end
      for _, c in ipairs(list) do
        if not seen[c.name] then error(c.name .. " is lost") end
      end
      if #names ~= #list then error("one comes twice") end
    end
  end
end

return {
  name = "strategy_properties",
  on_request = function(req, cfg)
    properties[cfg.property](req.candidates, cfg.n)
    note("property", cfg.property)
  end,
}
