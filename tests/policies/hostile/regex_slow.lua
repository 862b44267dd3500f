-- The costliest expression that is accepted, on a long subject.
-- expect: stopped after 50 ms of CPU
return { on_request = function() return re.find(("a"):rep(1000000), "(a?){300}b") end }
