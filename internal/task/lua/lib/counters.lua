-- Counters and histograms of the whole deployment (internal/telemetry/cluster.py shows them). DURATION,
-- QUEUE_WAIT and CLONE, the bounds, come from internal/telemetry/buckets.py. Names never hold a task, a tenant
-- or a repository: each one is a time series for ever.

local function count(name, by) redis.call('HINCRBY', P .. 'counters', name, by or 1) end

-- One value of a histogram: its bucket, and the sum.
local function observe(name, bounds, seconds)
  local bucket = 'inf'
  for bound in string.gmatch(bounds, '%S+') do
    if seconds <= tonumber(bound) then
      bucket = bound
      break
    end
  end
  count(name .. ':' .. bucket)
  redis.call('HINCRBYFLOAT', P .. 'counters', name .. ':sum', string.format('%.3f', seconds))
end
