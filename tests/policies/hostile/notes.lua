-- Writes notes without end.
-- expect: more than 64 notes
return { on_request = function() for i = 1, 1e6 do note("k" .. i, ("x"):rep(5000)) end end }
