local function with(share, more)
  local t = { to = "vllm/coder", share = share }
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end
local rest = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet" }
return {
  { "nobody", with = with(0), left = rest, mirrored = {} },
  { "everybody: the answer is the first target's", with = with(1), left = rest, mirrored = { "vllm/coder" },
    asked = { "openai/gpt-4o" }, answers = { ["openai/gpt-4o"] = "ours", ["vllm/coder"] = "the copy's" },
    answer = "ours",
    notes = { mirror = "vllm/coder" } },
  { "streamed", with = with(1), request = { stream = true, text = "hi" }, mirrored = { "vllm/coder" },
    answer = "It is well." },
  { "a copy that fails, is silent or late changes nothing", with = with(1), times = 3, asked = { "openai/gpt-4o" },
    answers = { ["vllm/coder"] = { { class = "server" }, { silent = true }, { text = "late", after = 30 } } },
    mirrored = { "vllm/coder", "vllm/coder", "vllm/coder" }, answer = "It is well.", waited = 0 },
  { "it never answers, also when the others fail", with = with(1), mirrored = { "vllm/coder" }, status = 502,
    answers = { ["openai/gpt-4o"] = { refused = true }, ["openai/gpt-4o-mini"] = { refused = true },
                ["claude/sonnet"] = { refused = true } }, asked = rest },
  { "the same callers each time", with = with(0.5, { key = "caller" }), request = { name = "dan" }, times = 4,
    mirrored = { "vllm/coder", "vllm/coder", "vllm/coder", "vllm/coder" } },
  { "others never", with = with(0.5, { key = "caller" }), request = { name = "bob" }, times = 4, mirrored = {} },
  { "only some teams", with = with(1, { teams = { "search" } }), request = { team = "legal" }, left = rest,
    mirrored = {} },
  { "one in a hundred, of the teams too, where nobody says more",
    with = { to = "vllm/coder", teams = { "search" }, key = "caller" }, request = { team = "search", name = "u30" },
    left = rest, mirrored = { "vllm/coder" } },
  { "one that is no candidate", with = with(1, { to = "openai/o4" }), mirrored = {},
    notes = { mirror = "openai/o4 is no candidate" } },
  { "but the rule wants it", with = with(1, { to = "openai/o4", beyond = true }), mirrored = { "openai/o4" } },
  { "the only target answers itself", with = with(1), targets = { { name = "vllm/coder" } }, mirrored = {},
    asked = { "vllm/coder" } },
}
