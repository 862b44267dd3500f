-- Uses huge strings as keys, each of which is hashed in one instruction.
-- expect: CPU|holds more
return { on_request = function()
  local t = {}
  for i = 1, 1e6 do t[("x"):rep(1000000) .. i] = nil; local _ = t[("y"):rep(1000000) .. i] end
end }
