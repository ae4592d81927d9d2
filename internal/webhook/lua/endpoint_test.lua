-- ENDPOINT_TEST: send an endpoint an event that no task has.
-- ARGV: 1 tenant, 2 endpoint id, 3 id of the event, 4 its body, 5 what stands for the task's id
-- -> {'ok', delivery id} | {'missing'} | {'off'}
-- A repeat posts the same delivery again: the receiver knows the event by its id.
local tenant, endpoint = ARGV[1], ARGV[2]
local known = redis.call('HMGET', tenant_key(tenant, 'webhook:' .. endpoint), 'url', 'off')
if not known[1] then return {'missing'} end
if known[2] then return {'off'} end
local id = ARGV[3] .. '_' .. endpoint
if redis.call('EXISTS', P .. 'delivery:' .. id) == 0 then
  post({id = ARGV[3], type = 'webhook.test', tenant = tenant, task = ARGV[5], body = ARGV[4],
    asked = '1'}, {{endpoint = endpoint}})
end
return {'ok', id}
