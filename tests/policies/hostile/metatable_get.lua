-- Wants the metatable of strings.
-- expect: "getmetatable" is not available
return { on_request = function() getmetatable("").__index = nil end }
