-- Repeats the empty string very often.
-- expect: NEXT
return { on_request = function() local _ = (""):rep(2^53) end }
