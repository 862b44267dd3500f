-- JSON nested too deeply, both ways.
-- expect: too deeply nested
return { on_request = function()
  local t = {}
  t.t = t
  pcall(json.encode, t)
  json.decode(("["):rep(100000))
end }
