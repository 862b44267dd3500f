-- Reads huge numbers from text.
-- expect: NEXT
return { on_request = function()
  local digits = ("9"):rep(1000000)
  if tonumber(digits) then error("read") end
  if pcall(function() return digits + 1 end) then error("added") end
end }
