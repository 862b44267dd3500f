-- Returns nonsense.
-- expect: the hook returned a number
return { on_request = function() return 42 end }
