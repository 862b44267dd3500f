-- What a policy may be given with `with:`. A misspelt setting is an error instead of a rule that does nothing.
local M = {}

-- A checker for these names: local check = settings.of{ "region", "teams" }; then check(cfg) in each hook.
function M.of(names)
  local known = {}
  for _, name in ipairs(names) do known[name] = true end
  return function(cfg)
    for name in pairs(cfg) do
      if not known[name] then
        error(("there is no setting \"%s\" (with: takes %s)"):format(tostring(name), table.concat(names, ", ")), 0)
      end
    end
  end
end

return M
