-- Goes past the read-only view by raw writes.
-- expect: read-only
return { on_request = function() pcall(json.array, string); table.insert(string, "x") end }
