-- Recurses through pcall: the C stack.
-- expect: C stack overflow|stack overflow|holds more than|CPU
local function f() local ok, e = pcall(f); if not ok then error(e, 0) end end
return { on_request = function() f() end }
