-- Changes what all strings can do.
-- expect: attempt to index a string value|can't be set
return { on_request = function()
  local s = ""
  s.format = function() return "evil" end
end }
