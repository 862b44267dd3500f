-- Empties a big table and asks for its first element again and again.
-- expect: CPU|NEXT
return { on_request = function()
  local t = {}
  for i = 1, 100000 do t["k" .. i] = i end
  for i = 1, 100000 do t["k" .. i] = nil end
  for _ = 1, 100000 do if next(t) then break end end
end }
