-- Requires a file outside of its folders.
-- expect: is not a module's name
return { on_request = function() return require("../../etc/passwd") end }
