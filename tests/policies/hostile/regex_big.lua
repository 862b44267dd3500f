-- Regular expressions that multiply.
-- expect: re: the pattern is too big
return { on_request = function() return re.test("aaaa", "((a{100}){100}){100}") end }
