-- Raises a very long text.
-- expect: xxxx
return { on_request = function() error(("x"):rep(1000000)) end }
