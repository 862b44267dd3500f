-- Sorts far too much.
-- expect: stopped after 50 ms of CPU
return { on_request = function()
  local t = {}
  for i = 1, 200000 do t[i] = (i * 7919) % 200003 end
  for _ = 1, 100 do table.sort(t) end
end }
