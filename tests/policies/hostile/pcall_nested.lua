-- A pcall in a pcall in a pcall, each of which starts over.
-- expect: stopped after 50 ms of CPU
local function deep(n)
  if n == 0 then while true do end end
  while true do pcall(deep, n - 1) end
end
return { on_request = function() deep(100) end }
