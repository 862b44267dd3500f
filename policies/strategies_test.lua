-- Properties over thousands of keys and draws are in lua/test/; here each strategy shows what it does.
local function order(...) return { order = { ... } } end
local all = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" }
local abc = { { name = "a/x" }, { name = "b/x" }, { name = "c/x" } }
local eu_first = { "claude/sonnet", "vllm/coder", "openai/gpt-4o", "openai/gpt-4o-mini" }
local week = { { from = "08:00", to = "18:00", days = { 1, 2, 3, 4, 5 }, zone = "Europe/Berlin",
                 first = { region = "eu" } },
               { from = "18:00", to = "08:00", zone = "Europe/Berlin", first = { tags = "night" } } }
local noon, sunday, night = 1760005200, 1760263200, 1760050000 -- Thursday 12:20, Sunday 12:00, Friday 00:46 in Berlin
local shifts = { { name = "a/day" }, { name = "b/night", tags = { "night" } }, { name = "c/eu", region = "eu-west-1" } }

local cases = {
  { "an unknown one is an error", with = order{ use = "cheapst" }, denied = "policy_error" },
  { "without an order: whoever can",
    targets = { { name = "a/small", context = 20 }, { name = "b/big", context = 9000 } },
    request = { text = ("word "):rep(100) }, left = { "b/big" } },
  { "fits: nobody has room, and estimates err", with = order{ use = "fits", room = 100000 },
    targets = { { name = "a/x", context = 1000 } },
    request = { text = ("word "):rep(100) }, left = { "a/x" } },
  { "priority: targets and providers", with = order{ use = "priority", names = { "vllm/coder", "claude" } },
    left = { "vllm/coder", "claude/sonnet", "openai/gpt-4o", "openai/gpt-4o-mini" } },
  { "weighted: no weight comes last", with = order{ use = "weighted", weights = { claude = 1 } },
    left = { "claude/sonnet", "openai/gpt-4o", "openai/gpt-4o-mini", "vllm/coder" } },
  { "split: no weight comes last", with = order{ use = "split", weights = { vllm = 1 } },
    left = { "vllm/coder", "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet" } },
  { "cheapest", with = order{ use = "cheapest" },
    left = { "vllm/coder", "openai/gpt-4o-mini", "openai/gpt-4o", "claude/sonnet" } },
  { "fastest: the unmeasured, then by latency", with = order{ use = "fastest" },
    targets = { { name = "a/slow", latency = 2 }, { name = "b/quick", latency = 0.2 }, { name = "c/new" } },
    left = { "c/new", "b/quick", "a/slow" } },
  { "least busy", with = order{ use = "least_busy" },
    targets = { { name = "a/full", load = 9 }, { name = "b/some", load = 3 }, { name = "c/idle" } },
    left = { "c/idle", "b/some", "a/full" } },
  { "least busy, by size", with = order{ use = "least_busy", weights = { a = 10 } },
    targets = { { name = "b/some", load = 3 }, { name = "a/big", load = 9 } }, left = { "a/big", "b/some" } },
  { "budget: who said nothing has enough", with = order{ use = "with_budget" }, left = all },
  { "budget: who said too little comes last", with = order{ use = "with_budget" }, request = { text = "Hello" },
    targets = { { name = "a/short", left_tokens = 3 }, { name = "b/spent", left_requests = 0 },
                { name = "c/rich", left_requests = 5, left_tokens = 90000 }, { name = "d/silent" } },
    left = { "c/rich", "d/silent", "a/short", "b/spent" } },
  { "fastest: long answers by throughput", with = order{ use = "fastest", output = 1000 },
    targets = { { name = "a/quick", latency = 0.1, throughput = 20 },
                { name = "b/steady", latency = 1, throughput = 200 } },
    left = { "b/steady", "a/quick" } },
  { "fastest: short answers by latency", with = order{ use = "fastest", output = 5 },
    targets = { { name = "b/steady", latency = 1, throughput = 200 },
                { name = "a/quick", latency = 0.1, throughput = 20 } },
    left = { "a/quick", "b/steady" } },
  { "sticky by a header", with = order{ use = "sticky", key = "x-session" }, targets = abc,
    request = { headers = { ["x-session"] = "s1" } }, times = 3, left = { "c/x", "a/x", "b/x" } },
  { "sticky: another session", with = order{ use = "sticky", key = "x-session" }, targets = abc,
    request = { headers = { ["x-session"] = "s3" } }, left = { "a/x", "b/x", "c/x" } },
  { "sticky: the first is down, the others keep their order", with = order{ use = "sticky", key = "x-session" },
    targets = abc,
    request = { headers = { ["x-session"] = "s1" } }, answers = { ["c/x"] = { refused = true } },
    asked = { "c/x", "a/x" } },
  { "near: regions in order", with = order{ use = "near", regions = { "eu-west-1", "eu" } }, left = eu_first },
  { "within", with = order{ use = "within", regions = { "eu" } }, left = { "claude/sonnet", "vllm/coder" } },
  { "within: nobody is there", with = order{ use = "within", regions = { "ap" } }, denied = "policy_denied" },
  { "by time: at work", with = order{ use = "by_time", plan = week }, targets = shifts, now = noon,
    left = { "c/eu", "a/day", "b/night" } },
  { "by time: at night", with = order{ use = "by_time", plan = week }, targets = shifts, now = night,
    left = { "b/night", "a/day", "c/eu" } },
  { "by time: neither", with = order{ use = "by_time", plan = week }, targets = shifts, now = sunday,
    left = { "a/day", "b/night", "c/eu" } },
  { "canary: nobody yet", with = order{ use = "canary", share = 0, which = { name = "openai/gpt-4o" } },
    left = { "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder", "openai/gpt-4o" } },
  { "canary: everybody", with = order{ use = "canary", share = 1, which = { name = "vllm/coder" } },
    left = { "vllm/coder", "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet" } },
  { "mirror: a copy beside the cheapest", mirrored = { "vllm/coder" }, asked = { "openai/gpt-4o-mini" },
    with = order({ use = "cheapest" }, { use = "mirror", to = "vllm/coder", share = 1, key = "team", timeout = 5 }) },
  { "mirror: nobody", mirrored = {}, left = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet" },
    with = order{ use = "mirror", to = "vllm/coder", share = 0 } },
  { "one behind the other", with = order({ use = "cheapest" }, { use = "near", regions = { "us" } }),
    left = { "openai/gpt-4o-mini", "openai/gpt-4o", "vllm/coder", "claude/sonnet" } },
}
-- one beginning, one target, whatever is asked behind it
for _, question in ipairs{ "one", "two", "three" } do
  cases[#cases + 1] = { "prefix: " .. question, with = order{ use = "prefix" }, targets = abc,
    request = { messages = { { role = "system", text = "You are a clerk." }, { role = "user", text = question } } },
    left = { "a/x", "b/x", "c/x" } }
  cases[#cases + 1] = { "conversation: " .. question, with = order{ use = "sticky", key = "conversation" },
    targets = abc,
    request = { messages = { "Hello", "Hello you", question } }, left = { "a/x", "b/x", "c/x" } }
end
return cases
