-- Recurses without end.
-- expect: stack overflow|holds more than|CPU
local function f(n) return 1 + f(n + 1) end
return { on_request = function() return f(0) end }
