-- Raises a table.
-- expect: error() was called with a table
return { on_request = function() error({ code = 1 }) end }
