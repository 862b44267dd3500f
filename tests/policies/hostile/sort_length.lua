-- Moves, inserts, unpacks with absurd bounds.
-- expect: CPU|can't pause
return { on_request = function()
  pcall(table.unpack, {}, 1, 1e8)
  pcall(table.unpack, {}, -2^62, 2^62)
  pcall(table.concat, {}, "x", 1, 2^60)
  pcall(table.move, {}, 1, 2^62, 2, {})
  while true do pcall(table.move, {}, 1, 1e9, 2, {}) end
end }
