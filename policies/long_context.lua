-- long_context: long requests go to targets with room for them and their answer, the smallest sufficient first: room
-- costs. Without any here, to those of `with: large`; without these, the caller learns at once what the providers
-- would say after a long upload.
--
--   policy: { file: policies/long_context.lua, with: { large: [gemini/gemini-2.5-pro], answer: 2000, margin: 1.15 } }
--
-- answer: tokens kept for an answer of unknown length; margin: estimates err.
local check = require("settings").of{ "large", "answer", "margin" }

local function needed(req, cfg)
  return math.ceil(req.tokens * (cfg.margin or 1.15)) + (req.max_tokens or cfg.answer or 1000)
end

return {
  name = "long_context",
  on_request = function(req, cfg)
    check(cfg)
    local tokens = needed(req, cfg)
    local roomy = req.candidates:where(function(c) return c.context >= tokens end)
    if #roomy == #req.candidates then return end -- short enough for all: other rules may choose
    note("long_context", tokens)
    if #roomy > 0 then return roomy:by("context") end
    if cfg.large then return cfg.large end
    return deny{ status = 400, code = "context_length",
                 message = ("about %d tokens with the answer; no target of %s takes as many"):format(tokens,
                     req.model) }
  end,

  -- the estimate was too low: only targets with more room than the one that refused make sense
  on_failure = function(req, attempt, cfg)
    if attempt.class ~= "context_length" then return end
    local had = attempt.target.context
    local roomier = req.candidates:where(function(c) return c.context > had end)
    if #roomier > 0 then return roomier:by("context") end
    if cfg.large and not req.vars.is_large then
      req.vars.is_large = true
      return cfg.large
    end
  end,
}
