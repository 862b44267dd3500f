-- Compares huge strings in a tight loop: one instruction, megabytes of work.
-- expect: stopped after 50 ms of CPU
return { on_request = function()
  local a = ("x"):rep(3000000)
  local b = a:sub(1, -2) .. "x"
  local n = 0
  while true do if a == b then n = n + 1 end; if a < b then n = n - 1 end; if a <= b then n = n + 1 end end
end }
