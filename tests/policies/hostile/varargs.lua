-- Many arguments, handed on and on.
-- expect: stack overflow|holds more|CPU
local function f(...) return f(1, 2, 3, 4, 5, 6, 7, 8, ...) end
return { on_request = function() return f() end }
