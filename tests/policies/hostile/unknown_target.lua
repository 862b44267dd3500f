-- Names a target that does not exist.
-- expect: there is no target "nobody/nothing"
return { on_request = function() return { "nobody/nothing" } end }
