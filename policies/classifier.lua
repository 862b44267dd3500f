-- classifier: asks a classifier of yours what a prompt is about and sends each kind to the targets meant for it. Its
-- verdicts are remembered for ten minutes; while it is down, requests go on as if it had said nothing.
--
--   policy:
--     file: policies/classifier.lua
--     hosts: ["classify.internal:8088"]
--     with: { url: "http://classify.internal:8088/v1/label", secret: classifier, timeout: 0.15,
--             targets: { source-code: [vllm/qwen3-coder, claude/claude-sonnet-4-5] } }
local check = require("settings").of{ "url", "secret", "timeout", "targets" }

local function ask(text, cfg)
  local r, err = http.post{
    url = cfg.url,
    json = { text = text },
    headers = cfg.secret and { authorization = "Bearer " .. secret(cfg.secret) } or nil,
    timeout = cfg.timeout or 0.15,
  }
  if not r then return nil, err end
  if r.status ~= 200 or not r.json or not r.json.label then return nil, "it answered " .. r.status end
  return r.json.label
end

return {
  name = "classifier",
  on_error = "pass",
  on_request = function(req, cfg)
    check(cfg)
    local text = req:text()
    if #text > 20000 then text = text:sub(1, 20000) end
    local key = "cls:" .. hash.sha256(text)
    local label = shared.get(key)
    if not label then
      local err
      label, err = ask(text, cfg)
      if not label then return note("classifier", err or "no label") end
      shared.set(key, label, { ttl = 600 })
    end
    tag("kind", label)
    return cfg.targets[label]
  end,
}
