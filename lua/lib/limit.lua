-- Counting in fixed windows, over all workers (shared). For budgets in money and exact quotas use a stage made for it.
local M = {}

-- Counts `by` for this name in the current window of so many seconds. Returns the sum so far and the seconds left.
function M.count(name, window, by)
  local now = clock.now()
  local start = now // window
  local sum = shared.incr(("w:%s:%d"):format(hash.sha256(name):sub(1, 32), start), by or 1, { ttl = window * 2 })
  return sum or 0, (start + 1) * window - now
end

-- nil while the sum is at most `max`, else seconds to wait: if limit.over("x", 60, 100) then …
function M.over(name, window, max, by)
  local sum, left = M.count(name, window, by)
  if sum > max then return left end
end

return M
