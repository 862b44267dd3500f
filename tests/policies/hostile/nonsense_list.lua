-- Returns a list with holes and nonsense.
-- expect: a list of candidates
return { on_request = function() return { true, {}, 3 } end }
