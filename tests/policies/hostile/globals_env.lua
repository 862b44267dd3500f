-- Writes to its environment by hand.
-- expect: would become a global
return { on_request = function() _ENV.deny = function() end end }
