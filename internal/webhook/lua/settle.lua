#!lua flags=allow-oom
-- SETTLE: record how an attempt ended, and end the delivery or make it due again.
-- ARGV: 1 delivery id, 2 token of the claim, 3 what becomes of it: delivered | failed (given up) | again,
--       4 ms until it is due again (only with again), 5 reason, 6 the attempt as JSON members behind its number and
--       time, 7 attempts kept in the record, 8 '1' when the endpoint wants no more,
--       9 ms and 10 attempts of only failures after which an endpoint is switched off
-- -> {'ok', why the endpoint was switched off or ''} | {'repeated'} this claim was settled before, nothing was changed
--    | {'fenced'} the claim is another's by now, or the delivery is gone; nothing was changed
local id, token, becomes = ARGV[1], ARGV[2], ARGV[3]
local key = P .. 'delivery:' .. id
local found = redis.call('HMGET', key, 'token', 'settled', 'tenant', 'endpoint')
if found[2] == token then return {'repeated'} end
if found[1] ~= token then return {'fenced'} end

local function record_attempt()
  local number = redis.call('HINCRBY', key, 'attempts', 1)
  redis.call('HINCRBY', key, 'tries', 1)
  redis.call('HSET', key, 'settled', token, 'last_reason', ARGV[5], 'last_at', text(NOW),
    'attempt:' .. text(number), '{"number":' .. text(number) .. ',"at":' .. text(NOW) .. ARGV[6] .. '}')
  redis.call('HDEL', key, 'token', 'attempt:' .. text(number - tonumber(ARGV[7])))
end

local function end_or_repeat()
  if becomes == 'again' then
    redis.call('ZADD', P .. 'outbox', NOW + tonumber(ARGV[4]), id)
    return
  end
  redis.call('ZREM', P .. 'outbox', id)
  redis.call('HSET', key, 'status', becomes)
  redis.call('EXPIRE', key, DELIVERY_TTL)
  redis.call('HINCRBY', P .. 'counters', 'webhook_deliveries:' .. (becomes == 'delivered' and 'success' or 'failed'), 1)
end

-- The health of a registered endpoint; returns why it is switched off now, or ''.
local function judge_endpoint(tenant, endpoint)
  local record = tenant_key(tenant, 'webhook:' .. endpoint)
  if endpoint == '' or redis.call('HEXISTS', record, 'url') == 0 then return '' end
  if becomes == 'delivered' then
    redis.call('HSET', record, 'last_delivered_at', text(NOW))
    redis.call('HDEL', record, 'failing_since', 'failures')
    return ''
  end
  redis.call('HSETNX', record, 'failing_since', text(NOW))
  local failures = redis.call('HINCRBY', record, 'failures', 1)
  local health = redis.call('HMGET', record, 'failing_since', 'off')
  local why = ''
  if ARGV[8] == '1' then why = 'gone'
  elseif NOW - tonumber(health[1]) >= tonumber(ARGV[9]) and failures >= tonumber(ARGV[10]) then why = 'failing' end
  if why == '' or health[2] then return '' end
  redis.call('HSET', record, 'off', why, 'off_at', text(NOW))
  redis.call('HSET', tenant_key(tenant, 'webhooks'), endpoint, '')
  return why
end

record_attempt()
end_or_repeat()
return {'ok', judge_endpoint(found[3], found[4])}
