-- A variable to be closed that would run code at the end.
-- expect: variable 'x' got a non-closable value
return { on_request = function()
  local x <close> = { __close = function() while true do end end }
  return x
end }
