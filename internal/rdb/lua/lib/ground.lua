-- The ground of the task and webhook scripts: names of keys, the time, numbers as text, a bell.
-- KEYS[1] is the key prefix of the deployment; all other keys derive from it (internal/rdb/keys.py has type, TTL
-- and owner of each), so with a hash tag in the prefix everything lies in one Cluster slot. Times are Redis'
-- milliseconds.

local P = KEYS[1]
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)

-- Redis would write 1795100000000 as 1.7951e+12.
local function text(value)
  if type(value) == 'number' then return string.format('%d', value) end
  return value
end
local function tenant_key(tenant, name) return P .. 'tenant:' .. tenant .. ':' .. name end

local BELL_TTL = 60      -- s; a bell that nobody hears is of no use, workers look by themselves each 2 s
-- One entry is enough: while there is one, nobody is blocked, and who takes it passes the baton on.
local function ring(bell)
  if redis.call('EXISTS', bell) == 1 then return end
  redis.call('LPUSH', bell, '1')
  redis.call('EXPIRE', bell, BELL_TTL)
end
