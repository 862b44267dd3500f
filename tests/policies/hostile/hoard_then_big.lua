-- Fills up with small objects, then asks for one that makes the collector work hardest.
-- expect: not enough memory|holds more|CPU
return { on_request = function()
  local t = {}
  for i = 1, 120000 do t[i] = {} end
  local s = ("x"):rep(4000000)
  return #(s .. s .. s .. s)
end }
