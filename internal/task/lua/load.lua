-- LOAD: how much waits that could run at once: what stands in the lists of agents, without that of tenants that wait at
-- their own gate (they have no turn in `flows`). What waits at a gate, for a time or for a home is in no list.
-- -> {tasks, ms since the oldest was queued}; at most LISTS lists are looked at, so a very wide queue counts as less
local LISTS = 1024
local tasks, oldest, lists = 0, NOW, 0

local function look(lane, suffix)
  for _, tenant in ipairs(redis.call('ZRANGE', P .. 'flows:' .. lane .. suffix, 0, 255)) do
    for prio = 0, 2 do
      lists = lists + 1
      local key = P .. 'queue:' .. lane .. suffix .. ':' .. tenant .. ':' .. prio
      local depth = lists <= LISTS and redis.call('LLEN', key) or 0
      if depth > 0 then
        tasks = tasks + depth
        local since = redis.call('ZSCORE', P .. 'queued', tenant .. '/' .. redis.call('LINDEX', key, 0))
        oldest = math.min(oldest, tonumber(since or NOW))
      end
    end
  end
end

local suffixes = {''}
for _, home in ipairs(redis.call('ZRANGE', P .. 'homes', 0, 63)) do suffixes[#suffixes + 1] = '@' .. home end
for _, suffix in ipairs(suffixes) do
  look('agent', suffix)
  look('alone', suffix)
end
return {tasks, NOW - oldest}
