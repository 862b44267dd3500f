local long = ("word "):rep(3000)
local sizes = { { name = "a/small", context = 2000 }, { name = "b/huge", context = 900000 },
                { name = "c/middle", context = 90000 }, { name = "d/large", context = 8000000 } }
return {
  { "short ones are left alone", targets = sizes, request = { text = "hello", fields = { max_tokens = 100 } },
    left = { "a/small", "b/huge", "c/middle", "d/large" }, notes = { long_context = "" } },
  { "the smallest that suffices first", targets = sizes, request = { text = long },
    left = { "c/middle", "b/huge", "d/large" } },
  { "the answer needs room too", targets = sizes, request = { text = "hello", fields = { max_tokens = 100000 } },
    left = { "b/huge", "d/large" } },
  { "nobody: the large ones", with = { large = { "vllm/coder" } },
    request = { text = long, fields = { max_tokens = 500000 } },
    asked = { "vllm/coder" } },
  { "nobody at all", request = { text = long, fields = { max_tokens = 500000 } }, denied = "context_length",
    status = 400 },
  { "the estimate was too low", targets = sizes, request = { text = "hello", fields = { max_tokens = 100 } },
    answers = { ["a/small"] = { class = "context_length" }, ["c/middle"] = { class = "context_length" } },
    asked = { "a/small", "c/middle", "b/huge" } },
}
