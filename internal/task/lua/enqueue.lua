-- ENQUEUE: accept a new task.
-- ARGV: 1 tenant, 2 task id, 3 idempotency key or '', 4 hash of the request, 5 s the key is kept,
--       then pairs field, value of the task's hash (status, iteration, kind, priority, gates, retain among them; with a
--       deduplication key its hash as `dedup`, and `dedup_policy`)
-- -> {'ok', ms} stored, and when | {'dup', id} the same request before | {'conflict', id} the key with another request
--    | {'deleted', id} the key's task was deleted since | {'joined', id} coalesced with an unfinished task
--    | {'full', id} the same, and no more callbacks can be told | {'duplicate', id} rejected because of that one
local tenant, id, idempotency = ARGV[1], ARGV[2], ARGV[3] ~= '' and tenant_key(ARGV[1], 'idempotency:' .. ARGV[3])
local t = load(tenant .. '/' .. id)
if t.f.status then return {'ok', tonumber(t.f.created_at)} end                            -- the same call, repeated by the client library
local fields = {id = id, tenant = tenant, created_at = NOW, since = NOW, attempt = 0, lost = 0, retries = 0}
for i = 6, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
assert(PRIORITY[fields.priority] and may_follow(fields.status, 'cloning'), 'not a task')

local function remember(made)
  if not idempotency then return end
  redis.call('HSET', idempotency, 'id', made, 'hash', ARGV[4])
  redis.call('EXPIRE', idempotency, ARGV[5])
end

if idempotency then
  local known = redis.call('HMGET', idempotency, 'id', 'hash')
  if known[1] then
    if known[2] ~= ARGV[4] then return {'conflict', known[1]} end
    if redis.call('EXISTS', task_key(tenant .. '/' .. known[1])) == 0 then return {'deleted', known[1]} end
    return {'dup', known[1]}
  end
end
set(t, fields)
if t.f.dedup then                                               -- ENQUEUE_ONCE, which has the library for it
  local holders = holders_of(t)
  local answer = instead_of(t, holders)
  if answer then
    if answer[1] == 'joined' then remember(answer[2]) end
    return answer
  end
  if t.f.dedup_policy == 'latest_wins' then supersede(t, holders) end
  redis.call('HSET', P .. 'limits', 'dedup:*', 1)
  set(t, {gates = t.f.gates .. dedup_gate(t)})
  hold_dedup_key(t)
end
remember(id)
row(t, {prompt = fields.prompt})
redis.call('ZADD', tenant_key(tenant, 'index'), NOW, id)
redis.call('ZADD', tenant_key(tenant, 'state:' .. fields.status), NOW, id)
redis.call('ZADD', P .. 'tenants', NOW, tenant)
emit(t, 'system', 'task_created', '{}')
push(t, false)
save(t)
return {'ok', NOW}
