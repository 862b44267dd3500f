-- Compiles new expressions without end.
-- expect: stopped after 50 ms of CPU
return { on_request = function() for i = 1, 1e9 do re.test("x", "(a|b|c){0,90}" .. i) end end }
