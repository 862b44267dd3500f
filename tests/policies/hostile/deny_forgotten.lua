-- Forgets the return before deny.
-- expect: was called but not returned
return { on_request = function() deny{ status = 403 } end }
