-- Recurses through where(function).
-- expect: C stack overflow|stack overflow|holds more|CPU
return { on_request = function(req)
  local function f() return #req.candidates:where(f) > 0 end
  return f()
end }
