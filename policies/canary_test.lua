local function with(share, more)
  local t = { to = "vllm/coder", share = share }
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end
local old = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet" }
local new = { "vllm/coder", "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet" }
return {
  { "nobody", with = with(0), left = old, notes = { ["tag.canary"] = "old" } },
  { "everybody", with = with(1), left = new, notes = { ["tag.canary"] = "new" } },
  { "a team in any case", with = with(0, { always = { "platform" } }), request = { team = "platform" }, left = new },
  { "one caller keeps its side", with = with(0.5), request = { name = "ann" }, times = 3, left = new },
  { "another is on the other", with = with(0.5), request = { name = "cy" }, left = old },
  { "a session has a side of its own", with = with(0.5, { key = "x-session" }),
    request = { name = "ann", headers = { ["x-session"] = "s3" } }, left = old },
  { "when it fails the old ones answer", with = with(1), answers = { ["vllm/coder"] = { refused = true } },
    asked = { "vllm/coder", "openai/gpt-4o" } },
  { "when it has failed too often it gets nobody", with = with(1), times = 12,
    answers = { ["vllm/coder"] = { class = "server" } }, left = old, notes = { canary = "unwell" } },
  { "unwell, but there is no other", with = with(1), targets = { { name = "vllm/coder" } }, times = 12,
    answers = { ["vllm/coder"] = { class = "server" } }, status = 503, notes = { canary = "unwell" } },
  { "only the new one: nothing to choose", with = with(0), targets = { { name = "vllm/coder" } },
    left = { "vllm/coder" } },
}
