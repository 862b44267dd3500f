-- sticky: each conversation stays with one target as long as that target is there, so that the provider's prompt cache
-- is hit; different conversations spread over all. What makes a conversation is its first two messages.
--
--   policy: { file: policies/sticky.lua, with: { share: { "openai": 3, "claude": 1 } } }
local check = require("settings").of{ "share" }
local strategy = require("strategy")

local function key_of(req)
  local parts = { req.principal.name, req.model }
  for i = 1, math.min(2, #req.messages) do
    parts[#parts + 1] = req.messages[i].text:sub(1, 2000)
  end
  return table.concat(parts, "\n")
end

return {
  name = "sticky",
  on_error = "pass",
  on_request = function(req, cfg)
    check(cfg)
    local up = req.candidates:where{ healthy = true }
    if #up < 2 then return end
    if not cfg.share then return strategy.sticky(up, key_of(req)) end
    return strategy.split(up, key_of(req), cfg.share) -- by weight, but the same for the same conversation
  end,
}
