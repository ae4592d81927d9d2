-- Who lives: the registry of workers and homes, and when Redis was last spoken to.

local WORKER_TTL = 15    -- s a silent worker stays in the registry

local function enter_registry(worker, home, info)
  local key, home_key = P .. 'worker:' .. worker, P .. 'home:' .. home
  redis.call('HSET', key, 'id', worker, 'home', home, 'info', info, 'seen', text(NOW))
  redis.call('EXPIRE', key, WORKER_TTL)
  redis.call('ZADD', P .. 'workers', NOW, worker)
  redis.call('ZADD', home_key, NOW, worker)
  redis.call('EXPIRE', home_key, WORKER_TTL)
end
local function leave_registry(worker, home)
  redis.call('DEL', P .. 'worker:' .. worker)
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('ZREM', P .. 'home:' .. home, worker)
end
-- Whether a home has a worker that may take work; one that an escalation has isolated may not.
local function home_lives(home)
  local live = redis.call('ZRANGE', P .. 'home:' .. home, NOW - WORKER_TTL * 1000, '+inf', 'BYSCORE', 'LIMIT', 0, 64)
  for _, worker in ipairs(live) do
    if redis.call('HGET', P .. 'limits', 'throttle:worker:' .. worker) ~= '0' then return true end
  end
  return false
end

-- Note that somebody speaks to Redis; true while nothing may be reaped. After a silence of more than 5 s, or of
-- unknown length (Redis or the whole system was away), that is one full lease: an outage kills no worker. The same when
-- the clock went back, with a failover to a server that is behind; then field `back` asks REAP to mend the leases.
local function contact(lease)
  local key = P .. 'contact'
  local known = redis.call('HMGET', key, 'last', 'quiet_until')
  local last, quiet_until = tonumber(known[1] or 0), tonumber(known[2] or 0)
  if math.abs(NOW - last) > 5000 then quiet_until = NOW + lease end
  if NOW < last - 5000 then redis.call('HSET', key, 'back', 1) end
  redis.call('HSET', key, 'last', text(NOW), 'quiet_until', text(quiet_until))
  return quiet_until > NOW
end
