-- REDELIVER: make a delivery due now, with its schedule from the start; its event id and its log stay.
-- ARGV: 1 tenant, 2 delivery id, 3 operation id
-- -> {'ok'} | {'missing'} | {'sending'} an attempt is on its way | {'erased'} the body went with its task
--    | {'endpoint_deleted'} | {'endpoint_off'}
local tenant, id, op = ARGV[1], ARGV[2], ARGV[3]
local key = P .. 'delivery:' .. id
local f = redis.call('HMGET', key, 'tenant', 'redelivered', 'token', 'task_id', 'event_id', 'endpoint')
if f[1] ~= tenant then return {'missing'} end
if f[2] == op then return {'ok'} end
if f[3] and tonumber(redis.call('ZSCORE', P .. 'outbox', id) or 0) > NOW then return {'sending'} end
if redis.call('HEXISTS', tenant_key(tenant, 'task:' .. f[4]) .. ':bodies', f[5]) == 0 then return {'erased'} end
if f[6] ~= '' then
  local endpoint = redis.call('HMGET', tenant_key(tenant, 'webhook:' .. f[6]), 'url', 'off')
  if not endpoint[1] then return {'endpoint_deleted'} end
  if endpoint[2] then return {'endpoint_off'} end
end
redis.call('HDEL', key, 'status', 'token')
redis.call('HSET', key, 'redelivered', op, 'tries', '0', 'asked', '1')
redis.call('PERSIST', key)
redis.call('ZADD', P .. 'outbox', NOW, id)
ring(P .. 'outbox:bell')
return {'ok'}
