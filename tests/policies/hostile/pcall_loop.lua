-- Tries to swallow the kill with pcall, again and again.
-- expect: stopped after 50 ms of CPU
local function try() while true do pcall(function() while true do end end) end end
return { on_request = function()
  while true do pcall(pcall, pcall, try) end
end }
