#!lua flags=allow-oom
-- ENDPOINT_DELETE: forget an endpoint and its secrets; what waits for it is given up when it is due.
-- ARGV: 1 tenant, 2 endpoint id, 3 operation id
-- -> {'ok'} | {'missing'}
local record = tenant_key(ARGV[1], 'webhook:' .. ARGV[2])
local known = redis.call('HMGET', record, 'url', 'deleted')
if not known[1] then return {known[2] == ARGV[3] and 'ok' or 'missing'} end
redis.call('DEL', record)
redis.call('HSET', record, 'deleted', ARGV[3])                  -- by which a repeat of this call is known
redis.call('EXPIRE', record, 60)
redis.call('HDEL', tenant_key(ARGV[1], 'webhooks'), ARGV[2])
return {'ok'}
