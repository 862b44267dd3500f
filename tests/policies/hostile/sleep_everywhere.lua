-- Sleeps for ever in small steps: the request's own deadline is what ends that.
-- expect: WAIT
return { on_request = function() for _ = 1, 30 do sleep(0.001) end end }
