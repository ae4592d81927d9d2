-- ENDPOINT_CHANGE: change what is given; switching on forgets the failures.
-- ARGV: 1 tenant, 2 endpoint id, 3 '1' switch on | '0' switch off | '', then pairs field, value of its record
-- -> {'ok'} | {'missing'}. A repeat writes the same.
local record, switch = tenant_key(ARGV[1], 'webhook:' .. ARGV[2]), ARGV[3]
if redis.call('HEXISTS', record, 'url') == 0 then return {'missing'} end
if #ARGV > 3 then redis.call('HSET', record, unpack(ARGV, 4)) end
if switch == '1' then redis.call('HDEL', record, 'off', 'off_at', 'failing_since', 'failures')
elseif switch == '0' and redis.call('HSETNX', record, 'off', 'operator') == 1 then
  redis.call('HSET', record, 'off_at', text(NOW))
end
local is_off = redis.call('HEXISTS', record, 'off') == 1
redis.call('HSET', tenant_key(ARGV[1], 'webhooks'), ARGV[2], is_off and '' or redis.call('HGET', record, 'events'))
return {'ok'}
