-- Quadratic: a long subject, a match that fails late at each place.
-- expect: can't pause|CPU
return { on_request = function() return ("a"):rep(200000):find(".-b") end }
