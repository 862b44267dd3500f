-- Joins many big strings in one operation.
-- expect: not enough memory|holds more|CPU
return { on_request = function()
  local s = ("x"):rep(2000000)
  local t = s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s
  return #t
end }
