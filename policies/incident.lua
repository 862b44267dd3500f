-- incident: the switch for a bad day. incident.yaml beside this file says what to keep away from; write it, `weir
-- reload`, and every request heeds it. Empty lists: nothing is wrong.
--
--   policy: { file: policies/incident.lua, with: { file: incident.yaml, spare: [vllm/qwen3-coder] } }
--
--   avoid: [openai, claude/claude-sonnet-4-5]   # providers and targets that get nothing while anything else is left
--   stop: [vllm]                                # that get nothing at all
--   cap: 500                                    # tokens of an answer, while everybody is short of them
--   closed: "Back at 15:00."                    # a sentence here refuses everything
--
-- spare: targets that answer when `stop` leaves nobody.
local check = require("settings").of{ "file", "spare" }

local function set_of(list)
  local set = {}
  for _, name in ipairs(list or {}) do set[name] = true end
  return set
end

return {
  name = "incident",
  on_error = "pass", -- a broken switch must not become an incident of its own
  on_request = function(req, cfg)
    check(cfg)
    local now = data(cfg.file or "incident.yaml")
    if not now then return end
    if now.closed then return deny{ status = 503, code = "incident", message = now.closed, retry_after = 60 } end
    if now.cap and (req.max_tokens or math.huge) > now.cap then req.max_tokens = now.cap end
    local stop, avoid = set_of(now.stop), set_of(now.avoid)
    local left = req.candidates:where(function(c) return not stop[c.name] and not stop[c.provider] end)
    if #left == 0 then
      note("incident", "spare")
      return cfg.spare or deny{ status = 503, code = "incident", message = req.model .. " is switched off",
          retry_after = 60 }
    end
    local calm = left:where(function(c) return not avoid[c.name] and not avoid[c.provider] end)
    if #calm > 0 then left = calm end
    if #left < #req.candidates then note("incident", left) end
    return left
  end,
}
