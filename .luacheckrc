-- What policies see: the allow-list of the Lua stage's sandbox (lua/README.md).
std = {
   read_globals = {
      "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type", "xpcall", "rawequal",
      "rawlen", "require", "_VERSION",
      math = { other_fields = true }, string = { other_fields = true }, table = { other_fields = true },
      utf8 = { other_fields = true },
      json = { other_fields = true }, hash = { other_fields = true }, base64 = { other_fields = true },
      re = { other_fields = true }, clock = { other_fields = true }, random = { other_fields = true },
      shared = { other_fields = true }, http = { other_fields = true },
      "data", "secret", "note", "tag", "deny", "answer", "sleep", "log",
   },
}
max_line_length = 140
files["policies/*_test.lua"] = { read_globals = { "test", "request", "check", "expect" } }
files["**/*_test.lua"] = { read_globals = { "test", "request", "check", "expect" } }
