-- Quadratic insertion at the front.
-- expect: stopped after 50 ms of CPU|can't pause
return { on_request = function()
  local t = {}
  for i = 1, 1e9 do table.insert(t, 1, i) end
end }
