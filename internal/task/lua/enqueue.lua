-- ENQUEUE: accept a new task.
-- ARGV: 1 tenant, 2 task id, 3 idempotency key or '', 4 hash of the request, 5 s the key is kept,
--       then pairs field, value of the task's hash (status, iteration, kind, priority, gates, retain among them)
-- -> {'ok', ms} stored, and when | {'dup', id} the same request before | {'conflict', id} the key with another request
--    | {'deleted', id} the key's task was deleted since
local tenant, id = ARGV[1], ARGV[2]
local t = load(tenant .. '/' .. id)
if t.f.status then return {'ok', tonumber(t.f.created_at)} end                            -- the same call, repeated by the client library
local fields = {id = id, tenant = tenant, created_at = NOW, since = NOW, attempt = 0, lost = 0, retries = 0}
for i = 6, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
assert(PRIORITY[fields.priority] and may_follow(fields.status, 'cloning'), 'not a task')
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
set(t, fields)
row(t, {prompt = fields.prompt})
redis.call('ZADD', tenant_key(tenant, 'index'), NOW, id)
redis.call('ZADD', tenant_key(tenant, 'state:' .. fields.status), NOW, id)
emit(t, 'system', 'task_created', '{}')
push(t, false)
save(t)
return {'ok', NOW}
