local with = { url = "http://classify.internal:8088/v1", secret = "classifier",
               targets = { ["source-code"] = { "vllm/coder", "claude/sonnet" } } }
local hosts = { "classify.internal:8088" }
local secrets = { "classifier" }
local all = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" }
return {
  { "source code goes where it should", with = with, hosts = hosts, secrets = secrets, request = { text = "int main" },
    http = { status = 200, body = '{"label":"source-code"}' }, left = { "vllm/coder", "claude/sonnet" },
    notes = { ["tag.kind"] = "source-code" } },
  { "the second time it is remembered", with = with, hosts = hosts, secrets = secrets,
    request = { text = "int main" }, times = 2,
    http = { status = 200, body = '{"label":"source-code"}' }, left = { "vllm/coder", "claude/sonnet" } },
  { "another label changes nothing", with = with, hosts = hosts, secrets = secrets, request = { text = "hello" },
    http = { status = 200, body = '{"label":"chat"}' }, left = all },
  { "it is down", with = with, hosts = hosts, secrets = secrets,
    request = { text = "x" }, http = { error = "connection refused" }, left = all,
    notes = { classifier = "http: connection refused" } },
  { "it answers nonsense", with = with, hosts = hosts, secrets = secrets,
    request = { text = "x" }, http = { status = 200, body = "oops" },
    left = all, notes = { classifier = "it answered 200" } },
  { "it is not allowed", with = with, secrets = secrets, request = { text = "x" }, left = all,
    notes = { classifier = "http: classify.internal:8088 is not among the `hosts` of this policy" } },
}
