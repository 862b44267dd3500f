-- redact: personal data and keys are taken out of every text before it leaves. What can't be changed (a field that only
-- the client's dialect knows) and matches is a reason to deny.
--
--   policy: { file: policies/redact.lua, with: { kinds: [email, iban, card, secret], words: ["Project Heron"] } }
local check = require("settings").of{ "kinds", "words" }
local pii = require("pii")

-- so that words of the configuration mean themselves
local function literal(word)
  return "(?i)" .. word:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?{}|\\]", "\\%0")
end

return {
  name = "redact",
  on_error = "deny",
  on_request = function(req, cfg)
    check(cfg)
    for _, kind in ipairs(cfg.kinds or { "email", "iban", "card", "secret" }) do
      if not pii[kind] then error("there is no expression for " .. kind) end
      local n = req:redact(pii[kind], "[" .. kind .. "]")
      if n > 0 then note("redacted." .. kind, n) end
    end
    for _, word in ipairs(cfg.words or {}) do
      local n = req:redact(literal(word), "[name]")
      if n > 0 then note("redacted.words", n) end
    end
  end,
}
