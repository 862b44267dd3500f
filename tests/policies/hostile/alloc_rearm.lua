-- Allocates middling strings in a tight loop: allocation must not put off the look at the clock.
-- expect: stopped after 50 ms of CPU
return { on_request = function()
  local s = ("x"):rep(10000)
  while true do local _ = s .. "y" end
end }
