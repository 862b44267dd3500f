-- Wants bytecode.
-- expect: string.dump does not exist
return { on_request = function() return string.dump(function() end) end }
