-- Exponential backtracking on a short subject.
-- expect: can't pause|CPU
return { on_request = function()
  return ("a"):rep(40):find((".-"):rep(30) .. "b")
end }
