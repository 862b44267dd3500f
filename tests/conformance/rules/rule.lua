-- Looks at everything that a rule may look at.
return {
  on_request = function(req)
    note("seen", req.model .. " " .. #req:text() .. " " .. req.tokens)
    return req.candidates:where(function(c) return c.context == nil or c.context > 0 end)
  end,
  on_failure = function(_, attempt)
    note("failed", attempt.class)
    return "next"
  end,
  on_finish = function(req, result)
    note("status", tostring(result.status) .. req.path)
  end,
}
