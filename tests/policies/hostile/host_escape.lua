-- Calls a host that nobody allowed.
-- expect: is not among the
return { on_request = function()
  local r, err = http.get("http://169.254.169.254/latest/meta-data")
  error(err or r.body)
end }
