local draws = { { "sticky", 1000 }, { "weighted", 2000 }, { "split", 1000 }, { "canary", 1000 }, { "mirror", 1000 },
  { "least_busy", 1500 }, { "whole", 50 } }
local cases = {}
for _, d in ipairs(draws) do
  for seed = 1, 4 do
    cases[#cases + 1] = { ("%s, seed %d"):format(d[1], seed), with = { property = d[1], n = d[2] }, cpu = "1s",
    seed = seed,
                          notes = { property = d[1] } }
  end
end
return cases
