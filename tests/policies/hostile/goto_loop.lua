-- A loop of gotos around a pcall.
-- expect: stopped after 50 ms of CPU
return { on_request = function()
  ::again::
  pcall(error)
  goto again
end }
