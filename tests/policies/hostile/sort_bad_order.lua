-- A comparison that contradicts itself: sorting still ends.
-- expect: NEXT
return { on_request = function()
  local t = {}
  for i = 1, 2000 do t[i] = random() end
  table.sort(t, function() return true end)
  table.sort(t, function() return random() < 0.5 end)
end }
