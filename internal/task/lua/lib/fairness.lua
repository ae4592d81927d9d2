-- What tenants share is judged by the outcomes of their runs, and no tenant counts for more than half of what is needed
-- to take it away; so one alone cannot, unless nobody else has submitted anything within a day.

local fair_sum           -- (counts by tenant, how many are needed) -> what they come to
do

local DAY_MS = 86400000
local shared             -- whether there are others; looked up once per call of a script

function fair_sum(by_tenant, needed)
  if shared == nil then shared = redis.call('ZCOUNT', P .. 'tenants', NOW - DAY_MS, '+inf') > 1 end
  local sum = 0
  for _, own in pairs(by_tenant) do sum = sum + (shared and math.min(own, math.ceil(needed / 2)) or own) end
  return sum
end

end
