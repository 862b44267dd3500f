-- Loops inside a gsub callback.
-- expect: stopped after 50 ms of CPU
return { on_request = function() return (("x"):gsub("x", function() while true do end end)) end }
