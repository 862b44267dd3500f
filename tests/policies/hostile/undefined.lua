-- Uses an undefined name.
-- expect: undefined name "candidates"
return { on_request = function() return candidates end }
