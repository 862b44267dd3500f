local with = { zone = "Europe/Berlin", from = "08:00", to = "18:00",
               night_teams = { "batch" }, cheap_teams = { "tools" } }
local noon, night, sunday = 1760005200, 1760050000, 1760263200 -- Thursday 12:20, Friday 00:46, Sunday 12:00
local all = { "openai/gpt-4o", "openai/gpt-4o-mini", "claude/sonnet", "vllm/coder" }
return {
  { "by day batch waits", with = with, now = noon, request = { team = "batch" }, denied = "office_hours" },
  { "by night batch runs", with = with, now = night, request = { team = "batch" }, left = all },
  { "on Sunday batch runs", with = with, now = sunday, request = { team = "batch" }, left = all },
  { "by day tools get all", with = with, now = noon, request = { team = "tools" }, left = all },
  { "by night tools get the cheapest first", with = with, now = night, request = { team = "tools" },
    left = { "vllm/coder", "openai/gpt-4o-mini", "openai/gpt-4o", "claude/sonnet" } },
  { "others are left alone", with = with, now = night, left = all },
}
