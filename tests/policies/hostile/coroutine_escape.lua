-- Wants a coroutine of its own.
-- expect: "coroutine" is not available
return { on_request = function() return coroutine.wrap(function() while true do end end)() end }
