-- Doubles a string until something gives.
-- expect: not enough memory
return { on_request = function() local s = "0123456789abcdef"; while true do s = s .. s end end }
