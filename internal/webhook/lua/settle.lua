#!lua flags=allow-oom
-- SETTLE: record how an attempt ended, and end the delivery or make it due again.
-- KEYS: 1 prefix of all keys
-- ARGV: 1 delivery id, 2 token of the claim, 3 what becomes of it: delivered | failed (given up) | again,
--       4 ms until it is due again (only with again), 5 reason, 6 HTTP status or '',
--       7 ms for which an ended delivery is kept
-- -> 'ok' | 'repeated' this claim was settled before, nothing was changed
--    | 'fenced' the claim is another's by now, or the delivery is gone; nothing was changed
local P, id, token, becomes = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local key = P .. 'delivery:' .. id

local found = redis.call('HMGET', key, 'token', 'settled')
if found[2] == token then return 'repeated' end
if found[1] ~= token then return 'fenced' end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('HINCRBY', key, 'attempts', 1)
redis.call('HSET', key, 'settled', token, 'last_reason', ARGV[5], 'last_status', ARGV[6], 'last_at', now)
redis.call('HDEL', key, 'token')
if becomes == 'again' then
  redis.call('ZADD', P .. 'outbox', now + tonumber(ARGV[4]), id)
else
  redis.call('ZREM', P .. 'outbox', id)
  redis.call('HSET', key, 'status', becomes)
  redis.call('PEXPIRE', key, ARGV[7])
  redis.call('HINCRBY', P .. 'counters', 'webhook_deliveries:' .. (becomes == 'delivered' and 'success' or 'failed'), 1)
end
return 'ok'
