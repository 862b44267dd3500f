-- Keeps more and more small tables.
-- expect: holds more than|CPU
return { on_request = function()
  local t = {}
  for i = 1, 1e9 do t[i] = { i } end
end }
