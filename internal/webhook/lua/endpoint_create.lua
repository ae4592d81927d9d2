-- ENDPOINT_CREATE: register an endpoint.
-- ARGV: 1 tenant, 2 endpoint id, 3 most endpoints of a tenant, 4 event types with a blank between,
--       then pairs field, value of its record
-- -> {'ok', ms of its creation} also when this call was sent before | {'full'}
local tenant, id, index = ARGV[1], ARGV[2], tenant_key(ARGV[1], 'webhooks')
local record = tenant_key(tenant, 'webhook:' .. id)
local made = redis.call('HGET', record, 'created_at')
if made then return {'ok', tonumber(made)} end
if redis.call('HLEN', index) >= tonumber(ARGV[3]) then return {'full'} end
redis.call('HSET', record, 'id', id, 'created_at', text(NOW), 'events', ARGV[4], unpack(ARGV, 5))
redis.call('HSET', index, id, ARGV[4])
return {'ok', NOW}
