-- Exponential backtracking, swallowed.
-- expect: can't pause|CPU
return { on_request = function()
  while true do pcall(string.find, ("a"):rep(40), (".-"):rep(30) .. "b") end
end }
