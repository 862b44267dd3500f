-- complexity: easy prompts go to the cheap target first, hard ones to the strong one. How hard a prompt looks is
-- counted from its surface, which says little: read tests/complexity/README.md, and measure on your own prompts before
-- you trust it. Therefore the rule does nothing until it is given `hard`, the score (0 to 1; 0.5: the middle) from
-- which a prompt is hard.
--
--   policy: { file: policies/complexity.lua, with: { hard: 0.7, strong: strong, cheap: cheap } }
--
-- strong, cheap: tags of targets; without them the dearest and the cheapest are meant. Whatever comes first, the
-- others stay behind it.
local check = require("settings").of{ "hard", "strong", "cheap" }
local strategy = require("strategy")

-- Work that the score has no weight for, and that cheap models often fail at.
local function is_demanding(req, looks)
  local effort = req.reasoning_effort
  return looks.tools > 8 or effort == "high" or effort == "xhigh" or effort == "max"
end

return {
  name = "complexity",
  on_request = function(req, cfg)
    check(cfg)
    local looks = req.complexity
    if not cfg.hard or not looks then return end
    local able = strategy.fits(req, req.candidates)
    if #able == 0 then return end
    local is_hard = looks.score >= cfg.hard or is_demanding(req, looks)
    note("complexity", ("%s (%.2f)"):format(is_hard and "hard" or "easy", looks.score))
    local tag = is_hard and cfg.strong or not is_hard and cfg.cheap
    if tag then return able:prefer{ tags = tag } end
    return able:by(is_hard and "-price" or "price")
  end,
}
