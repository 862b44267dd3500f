-- Balanced matching from each opening bracket.
-- expect: can't pause|CPU
return { on_request = function() return ("("):rep(200000):find("%b()") end }
