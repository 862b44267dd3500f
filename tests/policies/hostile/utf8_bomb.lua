-- Counts characters of a big text in a loop.
-- expect: CPU|too much at once
return { on_request = function()
  local s = ("ä"):rep(500000)
  while true do utf8.len(s); utf8.offset(s, -1); s:upper(); s:reverse() end
end }
