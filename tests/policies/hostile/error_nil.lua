-- Raises nil.
-- expect: error() was called with a nil
return { on_request = function() error(nil) end }
