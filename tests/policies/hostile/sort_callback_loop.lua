-- Loops inside a comparison.
-- expect: stopped after 50 ms of CPU
return { on_request = function() table.sort({ 2, 1 }, function() while true do end end) end }
