-- Reads a file outside of its folder.
-- expect: is not a file of the policy's folder
return { on_request = function() return data("../../../../etc/passwd") end }
