-- Runs many small random patterns and sums up what came out. As a program for lua5.4 it prints the sum; as a policy it
-- notes it: the two must agree.
local seed = 12345
local function pick(n)
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed // 65536 % n + 1
end

local pieces = {
  "a", "b", ".", "%a", "%d", "%w+", "a*", "b-", "a?", "[ab]", "[^a]", "[a-c]*", "(a)", "(b*)", "()", "%1", "%b()",
  "%f[%w]", "^", "$", "(.-)", "%s", "%", "[", "(", ")", "]", "%%", "a+", "[%w_]+", "[]]", "[^]a]", ".-", "%f[^%z]",
  "(a*(.)%w(%s*))", "%2", "-", "*", "[a-]", "%x", "%u", "%l", "%p", "[%a-z]", "%g", "%c",
}
local subjects = {
  "", "a", "ab", "aab b", "hello world", "(a(b)c)", "a_b 12", "   ", "aaaaaa", "abcabc", "]a]", "a-b", "%", "A\0b",
}
local replacements = { "", "x", "%0", "<%1>", "%%", "%2", "%", "[%0%0]" }

local sum, count = 0, 0
local function add(...)
  local n = select("#", ...)
  sum = (sum * 31 + n) % 1000000007
  for i = 1, n do
    local text = tostring((select(i, ...)))
    -- where an error was raised differs, what it says does not
    text = text:gsub("^[^:]*%.lua:%d+: ", ""):gsub("^bad argument.*", "bad")
    for j = 1, #text do sum = (sum * 31 + text:byte(j)) % 1000000007 end
  end
  count = count + 1
end

local function run()
  for _ = 1, 6000 do
    local p = ""
    for _ = 1, pick(4) do p = p .. pieces[pick(#pieces)] end
    local s, init = subjects[pick(#subjects)], pick(9) - 4
    add(pcall(string.find, s, p, init))
    add(pcall(string.match, s, p, init))
    add(pcall(string.gsub, s, p, replacements[pick(#replacements)], pick(5)))
    add(pcall(string.gsub, s, p, function(x) if x ~= "a" then return "f" end end))
    add(pcall(string.gsub, s, p, { a = "1", b = true, [""] = false }))
    add(pcall(function()
      local found = {}
      for x, y in s:gmatch(p, init) do found[#found + 1] = tostring(x) .. tostring(y) end
      return table.concat(found, ",")
    end))
    add(string.find(s, p, init, true))
  end
  return count .. " cases, sum " .. sum
end

if pcall(function() return io end) and io then print(run()) end -- luacheck: ignore
return { on_request = function() note("r", run()) end }
