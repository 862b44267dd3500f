-- Changes a library for everybody.
-- expect: string.format can't be set
return { on_request = function() string.format = function() return "evil" end end }
