-- Wants to run bytes as code.
-- expect: "load" is not available
return { on_request = function() return load("\27Lua") end }
