-- The same through gmatch and gsub.
-- expect: can't pause|CPU
return { on_request = function()
  for _ in ("a"):rep(50):gmatch(("a?"):rep(25) .. ("a"):rep(25) .. "b") do break end
  ;("a"):rep(50):gsub(("(a*)"):rep(20) .. "b", "")
end }
