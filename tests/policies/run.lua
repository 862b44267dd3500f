-- Turns policies/<name>_test.lua (data) into lines that test_lua_policies.c understands: run by lua5.4.
local function json(v)
  local kind = type(v)
  if kind == "string" then
    return '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  end
  if kind ~= "table" then return tostring(v) end
  local parts = {}
  if #v > 0 then
    for i, x in ipairs(v) do parts[i] = json(x) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for k, x in pairs(v) do parts[#parts + 1] = json(tostring(k)) .. ":" .. json(x) end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function escape(s) return (s:gsub("\\", "\\\\"):gsub("\n", "\\n")) end

local function put(...) print(table.concat({ ... }, "\t")) end

for _, case in ipairs(dofile(arg[1])) do
  local req = case.request or {}
  put("case", case[1])
  if case.with then put("with", json(case.with)) end
  for _, host in ipairs(case.hosts or {}) do put("host", host) end
  for k, v in pairs(req.headers or {}) do put("header", k, v) end
  if req.team then put("team", req.team) end
  for _, m in ipairs(req.messages or { req.text }) do put("message", escape(m)) end
  for k, v in pairs(req.fields or {}) do put("field", k, json(v)) end
  for _, t in ipairs(case.targets or {}) do put("target", t.name, t.region or "", t.price or -1, t.context or -1) end
  if case.now then put("now", case.now) end
  if case.http then put("http", case.http.error or "", case.http.status or 0, escape(case.http.body or "")) end
  if case.failure then
    local f = case.failure
    put("failure", f.class, f.retry_after or 0, f.target or "")
  end
  for _, name in ipairs(case.left or {}) do put("left", name) end
  if case.denied then put("denied", case.denied) end
  for k, v in pairs(case.edits or {}) do put("edit", k, escape(v)) end
  for k, v in pairs(case.notes or {}) do put("note", k, v) end
  put("run", case.times or 1)
end
