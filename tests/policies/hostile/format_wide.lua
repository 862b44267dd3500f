-- Formats many big strings into one.
-- expect: string.format
return { on_request = function()
  local s = ("x"):rep(1000000)
  return string.format(("%s"):rep(60), s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s)
end }
