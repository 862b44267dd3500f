local with = { default = { requests = 3 }, teams = { big = { requests = 100, tokens = 2500 } } }
return {
  { "within the limit", with = with, times = 3 },
  { "one too many", with = with, times = 4, denied = "team_rate" },
  { "a team of its own", with = with, request = { team = "big" }, times = 2 },
  { "too many tokens", with = with,
    request = { team = "big", text = ("word "):rep(900) }, times = 3, denied = "team_rate" },
  { "no limit", with = {}, times = 10 },
}
