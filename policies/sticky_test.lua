local targets = { { name = "a/x" }, { name = "b/x" }, { name = "c/x" } }
return {
  { "one conversation, one order", targets = targets, request = { messages = { "one", "two" } },
    left = { "b/x", "c/x", "a/x" } },
  { "the same again, whatever follows", targets = targets, request = { messages = { "one", "two", "three" } },
    left = { "b/x", "c/x", "a/x" } },
  { "another conversation", targets = targets, request = { messages = { "other 3" } }, left = { "c/x", "a/x", "b/x" } },
  { "weights leave out", with = { share = { b = 1 } }, targets = targets, request = { messages = { "one" } },
    left = { "b/x", "a/x", "c/x" } },
}
