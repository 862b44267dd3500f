-- What a policy may use, so that luacheck knows as much as the sandbox does (lua/sandbox.c).
std = {
   read_globals = {
      "assert", "error", "ipairs", "next", "pairs", "pcall", "rawequal", "rawlen", "require", "select", "tonumber",
      "tostring", "type", "_ENV", "_VERSION",
      "answer", "data", "deny", "log", "note", "random", "secret", "sleep", "tag",
      base64 = { fields = { "decode", "encode" } },
      clock = { fields = { "between", "date", "monotonic", "now" } },
      hash = { fields = { "hmac_sha256", "sha256", "share" } },
      http = { fields = { "get", "post", "request" } },
      json = { fields = { "array", "decode", "encode", "null" } },
      math = { other_fields = true },
      re = { fields = { "find", "gmatch", "gsub", "match", "test" } },
      shared = { fields = { "get", "incr", "set" } },
      string = { other_fields = true },
      table = { other_fields = true },
      utf8 = { other_fields = true },
   },
}
max_line_length = 120
unused_args = false
-- These do on purpose what nobody should.
files["tests/policies/hostile/*.lua"] = { std = "max", ignore = { "1..", "2..", "3..", "5..", "6.." } }
files["tests/policies/*.lua"] = { read_globals = { "io", "print" } }
files["tests/policies/run.lua"] = { std = "max" }
files["lua/definitions/*.lua"] = { std = "max", max_line_length = false, ignore = { "1.." } }
