-- Loops for ever.
-- expect: stopped after 50 ms of CPU
return { on_request = function() while true do end end }
