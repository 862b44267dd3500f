-- Formats with an absurd width.
-- expect: invalid conversion
return { on_request = function() return string.format("%99999d", 1) end }
