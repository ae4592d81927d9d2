-- ENQUEUE: accept a new task.
-- ARGV: 1 tenant, 2 task id, 3 idempotency key or '', 4 hash of the request, 5 s the key is kept,
--       then pairs field, value of the task's hash (status, iteration, kind, priority, gates, retain among them)
-- -> {'ok'} stored | {'dup', id} the same request before | {'conflict', id} the key with another request
--    | {'deleted', id} the key's task was deleted since
local tenant, id = ARGV[1], ARGV[2]
local ref = tenant .. '/' .. id
if redis.call('EXISTS', task_key(ref)) == 1 then return {'ok'} end        -- the same call, repeated by the client library
if ARGV[3] ~= '' then
  local key = tenant_key(tenant, 'idempotency:' .. ARGV[3])
  local known = redis.call('HMGET', key, 'id', 'hash')
  if known[1] then
    if known[2] ~= ARGV[4] then return {'conflict', known[1]} end
    if redis.call('EXISTS', task_key(tenant .. '/' .. known[1])) == 0 then return {'deleted', known[1]} end
    return {'dup', known[1]}
  end
  redis.call('HSET', key, 'id', id, 'hash', ARGV[4])
  redis.call('EXPIRE', key, ARGV[5])
end
local h = {}
local fields = {id = id, tenant = tenant, created_at = NOW, seq = 0}
for i = 6, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
set(ref, h, fields)
row(ref, h, {prompt = h.prompt, status = h.status})
redis.call('ZADD', tenant_key(tenant, 'index'), NOW, id)
move_index(ref, nil, h.status)
emit(ref, h, {'system', 'task_created', '{}'})
push(ref, h, false)
return {'ok'}
