-- The same, and swallows the error.
-- expect: stopped after 50 ms of CPU
return { on_request = function()
  while true do
    local s = "0123456789abcdef"
    pcall(function() while true do s = s .. s end end)
  end
end }
