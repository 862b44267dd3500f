-- Keeps a request and uses it in the next one.
-- expect: request is over|NEXT
local old
return { on_request = function(req)
  if old then return deny{ message = old.model } end
  old = req
end }
