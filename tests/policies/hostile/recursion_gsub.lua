-- Recurses through a library function that calls back.
-- expect: C stack overflow|stack overflow|holds more than|CPU
local function f() return (("x"):gsub("x", f)) end
return { on_request = function() f() end }
