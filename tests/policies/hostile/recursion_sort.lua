-- Recurses through a comparison function.
-- expect: C stack overflow|stack overflow|holds more than|CPU
local function f(a, b) table.sort({ 3, 2, 1 }, f); return a < b end
return { on_request = function() f(1, 2) end }
