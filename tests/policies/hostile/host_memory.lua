-- Makes the host keep more and more for the request.
-- expect: made the request keep more than|CPU
return { on_request = function(req)
  local s = ("x"):rep(100000)
  while true do req:prepend_system(s); req.user = s end
end }
