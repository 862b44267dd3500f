-- route: the file to edit. It decides where each request goes; as it stands it changes nothing unless the configuration
-- says so. After an edit: `weir check`, then `weir reload`. All functions with examples: lua/README.md.
--
--   policy: { file: policies/route.lua, with: { max_output: 4000, system: "Answer in English." } }
return {
  name = "route",

  -- Before a target is chosen. Return nothing (the targets stay as they are), candidates, deny{…} or answer("…").
  on_request = function(req, cfg)
    -- no answer longer than this, whatever the caller asks for
    if cfg.max_output and (req.max_tokens or math.huge) > cfg.max_output then
      req.max_tokens = cfg.max_output
      note("max_output", cfg.max_output)
    end

    -- a sentence before every system prompt
    if cfg.system then req:prepend_system(cfg.system) end

    -- Ideas; take the dashes away and make them yours:
    --
    -- if req.principal.team == "research" then return req.candidates:by("-context") end
    -- if req.tokens > 50000 then return req.candidates:where(function(c) return c.context > 200000 end) end
    -- if req.headers["x-cheap"] then return req.candidates:cheapest() end
    -- if req.needs.tools then return { "openai/gpt-4o", "claude/claude-sonnet-4-5" } end
    -- return req.candidates:prefer{ region = "eu" }
  end,

  -- When a target failed and nothing was sent to the caller yet. Return nothing or "next" (the next one), "retry"
  -- (this one again), candidates or deny{…}.
  on_failure = function(req, attempt, cfg)
    -- if attempt.class == "overloaded" then sleep(0.5); return "retry" end
  end,
}
