-- Quadratic concatenation.
-- expect: not enough memory|holds more|CPU
return { on_request = function() local s = ""; while true do s = s .. "some more of it" end end }
