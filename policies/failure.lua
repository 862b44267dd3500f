-- failure: what to do when a target failed before anything was sent to the caller.
--
--   policy: { file: policies/failure.lua, with: { patience: 5, long_context: [gemini/gemini-2.5-pro] } }
local check = require("settings").of{ "patience", "long_context" }

return {
  name = "failure",
  on_failure = function(req, attempt, cfg)
    check(cfg)
    local class = attempt.class
    req.vars.failures = (req.vars.failures or 0) + 1
    note("failure." .. req.vars.failures, class)

    -- too long for this model: only models with room for it make sense
    if class == "context_length" then
      local roomy = req.candidates:where(function(c) return c.context > req.tokens * 1.3 end):by("price")
      if #roomy > 0 then return roomy end
      return cfg.long_context
    end

    -- a short wait is cheaper than another model that doesn't know the conversation
    if class == "rate_limited" or class == "overloaded" then
      local wait = attempt.retry_after or 0.5
      if wait <= (cfg.patience or 2) and req.vars.failures == 1 and req.time_left > wait + 5 then
        return "retry" -- after as long as the provider said
      end
      return "next"
    end

    -- what the caller asked for is the trouble: others would say the same
    if class == "content_policy" then
      return deny{ status = 400, code = "content_policy", message = attempt.message or "refused by the provider" }
    end
  end,
}
