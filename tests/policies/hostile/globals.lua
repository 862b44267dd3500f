-- Writes a global.
-- expect: "counter" would become a global
return { on_request = function() counter = 1 end }
