-- Decodes big documents again and again.
-- expect: CPU|can't pause|holds more
return { on_request = function()
  local s = "[" .. ("{},"):rep(100000) .. "1]"
  while true do pcall(json.decode, s) end
end }
