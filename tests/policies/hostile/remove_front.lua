-- Quadratic removal at the front.
-- expect: stopped after 50 ms of CPU|can't pause
return { on_request = function()
  local t = {}
  for i = 1, 300000 do t[i] = i end
  while #t > 0 do table.remove(t, 1) end
end }
