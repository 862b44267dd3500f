-- Asks for a string of many gigabytes.
-- expect: string.rep
return { on_request = function() return #("x"):rep(1e10) end }
