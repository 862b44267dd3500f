-- Keeps memory from one request to the next.
-- expect: holds more than|CPU
local kept = {}
return { on_request = function()
  for i = 1, 1e9 do kept[#kept + 1] = ("x"):rep(1000) .. i end
end }
