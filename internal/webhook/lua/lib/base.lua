-- The ground of the webhook scripts; the task scripts have the same words in their own library.
-- KEYS[1] is the key prefix of the deployment (internal/rdb/keys.py has type, TTL and owner of each key).
-- Times are Redis' milliseconds.

local P = KEYS[1]
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(value)
  if type(value) == 'number' then return string.format('%d', value) end
  return value
end
local function tenant_key(tenant, name) return P .. 'tenant:' .. tenant .. ':' .. name end

local function ring(bell)
  if redis.call('EXISTS', bell) == 1 then return end
  redis.call('LPUSH', bell, '1')
  redis.call('EXPIRE', bell, 60)
end
