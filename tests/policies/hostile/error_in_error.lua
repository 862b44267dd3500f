-- Raises while raising.
-- expect: again
return { on_request = function() pcall(error, nil); error("again " .. tostring(pcall(error))) end }
