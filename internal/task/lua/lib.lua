-- The library in front of every task script.
--
-- KEYS[1] is the key prefix of the deployment; all other keys derive from it (internal/rdb/keys.py has
-- type, TTL and owner of each), so with a hash tag in the prefix everything lies in one Cluster slot.
-- A *ref* is "<tenant>/<task id>". A *lane* is agent, publish or alone. A *suffix* is "" for the common
-- lists and "@<home>" for those of one home. Times are Redis' milliseconds.
-- NEXT and FINISHED, the state table, are generated from internal/task/state.py.

local P = KEYS[1]
local clock = redis.call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)
local PRIORITY = {high = 0, normal = 1, low = 2}
local LIVES = 3          -- workers a run may lose before it is a dead letter
local WORKER_TTL = 15    -- s a silent worker stays in the registry

-- RFC 3339 of a time in ms; civil-from-days after Howard Hinnant, "chrono-compatible date algorithms"
local function stamp(ms)
  local s = math.floor(ms / 1000)
  local z = math.floor(s / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(s / 3600) % 24, math.floor(s / 60) % 60, s % 60, ms % 1000)
end
local STAMP = stamp(NOW)

local function quote(text) return cjson.encode(tostring(text)) end

local function split(ref) return string.match(ref, '^([^/]*)/(.*)$') end
local function task_key(ref)
  local tenant, id = split(ref)
  return P .. 'tenant:' .. tenant .. ':task:' .. id
end
local function tenant_key(tenant, name) return P .. 'tenant:' .. tenant .. ':' .. name end
local function list_key(lane, suffix, tenant, prio) return P .. 'queue:' .. lane .. suffix .. ':' .. tenant .. ':' .. prio end
local function gate_key(gate, name) return P .. 'gate:' .. gate .. ':' .. name end

local function load(ref)
  local flat = redis.call('HGETALL', task_key(ref))
  local h = {}
  for i = 1, #flat, 2 do h[flat[i]] = flat[i + 1] end
  return h
end
local function set(ref, h, fields)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
    h[name] = tostring(value)
  end
  if #flat > 0 then redis.call('HSET', task_key(ref), unpack(flat)) end
end
local function clear(ref, h, ...)
  redis.call('HDEL', task_key(ref), ...)
  for _, name in ipairs({...}) do h[name] = nil end
end
local function row(ref, h, fields)
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = h.iteration .. '.' .. name
    flat[#flat + 1] = value
  end
  redis.call('HSET', task_key(ref) .. ':iterations', unpack(flat))
end

-- ---------------------------------------------------------------------------------------- events

-- events: flat triples type, event, data (a JSON object as text). Numbers them, stores and publishes.
local function emit(ref, h, events)
  local _, id = split(ref)
  local key, channel = task_key(ref), P .. 'task:' .. id .. ':stream'
  local seq = tonumber(h.seq or 0)
  for i = 1, #events, 3 do
    seq = seq + 1
    local envelope = '{"id":' .. seq .. ',"type":"' .. events[i] .. '","event":"' .. events[i + 1]
      .. '","data":' .. events[i + 2] .. ',"ts":"' .. STAMP .. '"}'
    redis.call('XADD', key .. ':events', seq .. '-0', 'e', envelope)
    redis.call('PUBLISH', channel, envelope)
  end
  redis.call('HSET', key, 'seq', seq)
  h.seq = tostring(seq)
  return seq
end

local function move_index(ref, from, to)
  local tenant, id = split(ref)
  if from then redis.call('ZREM', tenant_key(tenant, 'state:' .. from), id) end
  if to then redis.call('ZADD', tenant_key(tenant, 'state:' .. to), NOW, id) end
end

-- extra: further members of the event, as JSON text that begins with a comma, or nil
local function set_state(ref, h, to, extra)
  local from = h.status
  if not (NEXT[from] and NEXT[from][to]) then error('illegal transition ' .. from .. ' to ' .. to) end
  set(ref, h, {status = to})
  if h.kind ~= 'publish' then row(ref, h, {status = to}) end
  move_index(ref, from, to)
  emit(ref, h, {'system', 'state', '{"from":"' .. from .. '","to":"' .. to .. '"' .. (extra or '') .. '}'})
end

-- ----------------------------------------------------------------------------------------- gates

-- gates of a task: lines "<kind> <cost> <key>"; the tenant's own stands first
local function gates_of(h)
  local gates = {}
  for kind, cost, key in string.gmatch(h.gates or '', '(%a+) (%d+) ([^\n]+)') do
    gates[#gates + 1] = {kind = kind, cost = tonumber(cost), key = key}
  end
  return gates
end
local function limit_of(gate)
  local class = string.match(gate, '^[^:]+') .. ':*'
  local found = redis.call('HMGET', P .. 'limits', gate, class)
  return tonumber(found[1] or found[2] or 0)
end
local function free_of(gate)                                    -- places left; 0 = closed
  local limit = limit_of(gate)
  if limit == 0 then return math.huge end
  return math.max(0, limit - redis.call('SCARD', gate_key(gate, 'held')))
end

-- ----------------------------------------------------------------------------------------- lists

local function lane_of(h)
  if tonumber(h.lost or 0) >= LIVES - 1 then return 'alone' end -- lost two workers: runs alone
  if h.kind == 'publish' then return 'publish' end
  return 'agent'
end
local function queued_state(h)
  if h.kind == 'publish' then return 'creating_pr' end
  if h.iteration == '1' then return 'pending' end
  return 'awaiting_instruction'
end
local function ring(lane, suffix)
  local bell = P .. 'bell:' .. lane .. suffix
  if redis.call('LLEN', bell) < 64 then redis.call('LPUSH', bell, '1') end
end
local function has_work(lane, suffix, tenant)
  return redis.call('EXISTS', list_key(lane, suffix, tenant, 0), list_key(lane, suffix, tenant, 1),
    list_key(lane, suffix, tenant, 2)) > 0
end
-- A tenant that joins starts at the larger of the lane's clock and its own last time, never at 0.
local function join(lane, suffix, tenant)
  local flows = P .. 'flows:' .. lane .. suffix
  if redis.call('ZSCORE', flows, tenant) then return end
  if redis.call('ZSCORE', gate_key('tenant:' .. tenant, 'parked'), 'flow ' .. lane .. suffix .. ' ' .. tenant) then return end
  local own = tonumber(redis.call('ZSCORE', P .. 'served:' .. lane, tenant) or 0)
  local clock_now = tonumber(redis.call('GET', P .. 'clock:' .. lane) or 0)
  redis.call('ZADD', flows, math.max(own, clock_now), tenant)
end
local function leave_if_empty(lane, suffix, tenant)
  if not has_work(lane, suffix, tenant) then
    redis.call('ZREM', P .. 'flows:' .. lane .. suffix, tenant)
    redis.call('ZREM', gate_key('tenant:' .. tenant, 'parked'), 'flow ' .. lane .. suffix .. ' ' .. tenant)
  end
end
-- Put a queued task into a list: where its work lies, or the common ones when suffix says so.
local function push(ref, h, front, suffix)
  local tenant, id = split(ref)
  local lane = lane_of(h)
  if not suffix then suffix = (h.home and h.home ~= '') and '@' .. h.home or '' end
  if suffix ~= '' then redis.call('SADD', P .. 'homes', string.sub(suffix, 2)) end
  redis.call(front and 'LPUSH' or 'RPUSH', list_key(lane, suffix, tenant, PRIORITY[h.priority]), id)
  set(ref, h, {at = 'list ' .. lane .. ' ' .. suffix})
  clear(ref, h, 'wait_reason', 'wait_until')
  redis.call('ZADD', P .. 'queued', 'NX', NOW, ref)
  join(lane, suffix, tenant)
  ring(lane, suffix)
end
-- What a waiting task waits for; said once per reason.
local function wait_for(ref, h, at, reason, until_ms)
  set(ref, h, {at = at, wait_reason = reason})
  if until_ms then set(ref, h, {wait_until = until_ms}) else clear(ref, h, 'wait_until') end
  redis.call('ZADD', P .. 'queued', 'NX', NOW, ref)
  if h.waited ~= reason then
    set(ref, h, {waited = reason})
    local when = until_ms and '"' .. stamp(until_ms) .. '"' or 'null'
    emit(ref, h, {'system', 'waiting', '{"reason":"' .. reason .. '","until":' .. when .. '}'})
  end
end
local function park(ref, h, gate)
  redis.call('ZADD', gate_key(gate, 'parked'), (PRIORITY[h.priority] + 1) * 1e13 + tonumber(h.created_at), 'task ' .. ref)
  redis.call('SADD', P .. 'gates:parked', gate)
  wait_for(ref, h, 'gate ' .. gate, 'cap')
end
-- Let the parked flows of a gate go on, else up to `count` of its parked tasks.
local function unpark(gate, count)
  local parked = gate_key(gate, 'parked')
  local entries = redis.call('ZRANGEBYSCORE', parked, 0, 0, 'LIMIT', 0, 16)
  if #entries == 0 then entries = redis.call('ZRANGE', parked, 0, count - 1) end
  for _, entry in ipairs(entries) do
    redis.call('ZREM', parked, entry)
    local ref = string.match(entry, '^task (.*)$')
    if ref then
      local h = load(ref)
      if h.at == 'gate ' .. gate then push(ref, h, true) end
    else
      local lane, suffix, tenant = string.match(entry, '^flow (%a+)(@?[^ ]*) (.*)$')
      if has_work(lane, suffix, tenant) then
        if suffix ~= '' then redis.call('SADD', P .. 'homes', string.sub(suffix, 2)) end
        join(lane, suffix, tenant)
        ring(lane, suffix)
      end
    end
  end
  if redis.call('EXISTS', parked) == 0 then redis.call('SREM', P .. 'gates:parked', gate) end
end

-- Take a queued task out of wherever it is.
local function withdraw(ref, h)
  local tenant, id = split(ref)
  local lane, suffix = string.match(h.at or '', '^list (%a+) (.*)$')
  if lane then
    redis.call('LREM', list_key(lane, suffix, tenant, PRIORITY[h.priority]), 1, id)
    leave_if_empty(lane, suffix, tenant)
  end
  local gate = string.match(h.at or '', '^gate (.*)$')
  if gate then
    redis.call('ZREM', gate_key(gate, 'parked'), 'task ' .. ref)
    if redis.call('EXISTS', gate_key(gate, 'parked')) == 0 then redis.call('SREM', P .. 'gates:parked', gate) end
  end
  local home = string.match(h.at or '', '^home (.*)$')
  if home then redis.call('ZREM', P .. 'home:' .. home .. ':away', ref) end
  if h.at == 'due' then redis.call('ZREM', P .. 'due', ref) end
  redis.call('ZREM', P .. 'queued', ref)
  clear(ref, h, 'at', 'wait_reason', 'wait_until', 'waited')
end

-- ---------------------------------------------------------------------------------- leases, runs

local function release(ref, h)
  redis.call('ZREM', P .. 'leases', ref)
  if h.worker then redis.call('SREM', P .. 'held:' .. h.worker, ref) end
  for _, gate in ipairs(gates_of(h)) do
    if redis.call('SREM', gate_key(gate.key, 'held'), ref) == 1
      and redis.call('EXISTS', gate_key(gate.key, 'parked')) == 1 then unpark(gate.key, 1) end
  end
  if h.token then redis.call('DEL', P .. 'claim:' .. h.token) end
  clear(ref, h, 'token', 'worker', 'claim', 'batch', 'pushing')
end

local function retain(ref, h)
  local key, seconds = task_key(ref), tonumber(h.retain)
  for _, name in ipairs({'', ':events', ':iterations', ':work'}) do redis.call('EXPIRE', key .. name, seconds) end
  redis.call('ZADD', P .. 'expiring', NOW + seconds * 1000, ref)
end
local function lift_retention(ref)
  local key = task_key(ref)
  for _, name in ipairs({'', ':events', ':iterations', ':work'}) do redis.call('PERSIST', key .. name) end
  redis.call('ZREM', P .. 'expiring', ref)
end

-- One webhook: the outbox entry with its body, whose id is the same whenever this run ends again.
local function announce(ref, h, event, status, members)
  if not h.callback_url then return end
  local tenant, id = split(ref)
  local delivery = 'evt_' .. id .. '_' .. h.seq
  local body = '{"type":"' .. event .. '","task_id":"' .. id .. '","status":"' .. status .. '","iteration":' .. h.iteration
    .. members .. ',"labels":' .. (h.labels or '{}')
    .. (h.pr_url and ',"pr_url":' .. quote(h.pr_url) .. ',"pr_number":' .. h.pr_number or '')
    .. (h.trace_id and ',"trace_id":' .. quote(h.trace_id) or '')
    .. ',"finished_at":"' .. STAMP .. '","task_url":' .. quote(h.task_url or '') .. '}'
  redis.call('HSET', P .. 'delivery:' .. delivery, 'id', delivery, 'tenant', tenant, 'task_id', id, 'url', h.callback_url,
    'event', event, 'body', body, 'attempts', 0, 'created_at', NOW, 'trace_id', h.trace_id or '')
  redis.call('ZADD', P .. 'outbox', NOW, delivery)
  if redis.call('LLEN', P .. 'outbox:bell') < 64 then redis.call('LPUSH', P .. 'outbox:bell', '1') end
end

local BUCKETS = {10, 30, 60, 120, 300, 600, 1800}              -- s, version A's histogram
local function count_run(h, status)
  local counters = P .. 'counters'
  redis.call('HINCRBY', counters, 'tasks:' .. status, 1)
  local seconds = h.started_at and (NOW - tonumber(h.started_at)) / 1000 or 0
  redis.call('HINCRBYFLOAT', counters, 'duration_sum:' .. status, string.format('%.3f', seconds))
  for _, bound in ipairs(BUCKETS) do
    if seconds <= bound then redis.call('HINCRBY', counters, 'duration_bucket:' .. status .. ':' .. bound, 1) end
  end
end

local function say_done(ref, h)
  local _, id = split(ref)
  redis.call('PUBLISH', P .. 'task:' .. id .. ':done', '{"task_id":"' .. id .. '","status":"' .. h.status
    .. '","changes_summary":' .. (h.changes or 'null') .. '}')
end

-- End a run as failed for a reason that no worker reported. Writes state, final event, outbox, TTL.
local function fail_run(ref, h, reason, message)
  local failure = '{"reason":"' .. reason .. '","message":' .. quote(message) .. ',"retryable":false,"detail":null}'
  set_state(ref, h, 'failed', ',"reason":"' .. reason .. '"')
  set(ref, h, {failure = failure, finished_at = NOW})
  row(ref, h, {failure = failure, ended_at = NOW})
  local members = '"error":' .. quote(message) .. ',"failure":' .. failure
  emit(ref, h, {'system', 'task_failed', '{' .. members .. ',"iteration":' .. h.iteration .. '}'})
  announce(ref, h, 'task.failed', 'failed', ',' .. members)
  count_run(h, 'failed')
  clear(ref, h, 'cancel', 'prev', 'waited')
  retain(ref, h)
  say_done(ref, h)
end

-- The document as it was before INSTRUCT, RETRY or PUBLISH, all values strings.
local KEPT = {'status', 'iteration', 'result', 'failure', 'changes', 'usage', 'current_prompt', 'branch', 'base_commit',
  'pr_number', 'pr_url', 'pr_error', 'started_at', 'finished_at', 'attempt', 'lost', 'retries', 'home', 'truncated'}
local ROW = {'status', 'prompt', 'result', 'failure', 'changes', 'usage', 'work', 'home', 'started_at', 'ended_at'}
local function keep_document(ref, h)
  local kept = {doc = {}, row = {}}
  for _, name in ipairs(KEPT) do kept.doc[name] = h[name] end
  for _, name in ipairs(ROW) do
    local value = redis.call('HGET', task_key(ref) .. ':iterations', h.iteration .. '.' .. name)
    if value then kept.row[name] = value end
  end
  set(ref, h, {prev = cjson.encode(kept)})
end
local function put_document_back(ref, h, with_row)
  local kept = cjson.decode(h.prev)
  for _, name in ipairs(KEPT) do
    if name ~= 'status' then
      if kept.doc[name] then set(ref, h, {[name] = kept.doc[name]}) else clear(ref, h, name) end
    end
  end
  if with_row then
    local key = task_key(ref) .. ':iterations'
    for _, name in ipairs(ROW) do redis.call('HDEL', key, h.iteration .. '.' .. name) end
    for name, value in pairs(kept.row) do redis.call('HSET', key, h.iteration .. '.' .. name, value) end
  end
  clear(ref, h, 'prev', 'cancel', 'waited', 'pr_options')
  retain(ref, h)
end

-- End a create-pr run without a pull request: everything as before, with the reason.
local function fail_publish(ref, h, reason, message)
  local before = cjson.decode(h.prev).doc.status
  set_state(ref, h, before, ',"reason":"' .. reason .. '"')
  put_document_back(ref, h, false)
  set(ref, h, {pr_error = message})
  emit(ref, h, {'git', 'pr_failed', '{"error":' .. quote(message) .. ',"reason":"' .. reason .. '"}'})
  say_done(ref, h)
end

-- End what is queued because somebody cancelled it (decisions: what was delivered stays delivered).
local CANCELLED = 'cancelled by user'
local function cancel_queued(ref, h)
  withdraw(ref, h)
  if h.kind == 'publish' then return fail_publish(ref, h, 'canceled', CANCELLED) end
  if not h.prev then return fail_run(ref, h, 'canceled', CANCELLED) end
  local before = cjson.decode(h.prev).doc.status
  local failure = '{"reason":"canceled","message":"' .. CANCELLED .. '","retryable":false,"detail":null}'
  local members = '"error":"' .. CANCELLED .. '","failure":' .. failure
  local iteration = h.iteration
  if h.kind == 'instruct' then row(ref, h, {failure = failure, ended_at = NOW}) end
  set_state(ref, h, before, ',"reason":"canceled"')
  if h.kind == 'instruct' then row(ref, h, {status = 'failed'}) end
  emit(ref, h, {'system', 'task_failed', '{' .. members .. ',"iteration":' .. iteration .. '}'})
  announce(ref, h, 'task.failed', 'failed', ',' .. members)
  count_run(h, 'failed')
  put_document_back(ref, h, h.kind == 'retry')
  say_done(ref, h)
end

-- Give a claimed task back to the queue it came from, or end it when it was cancelled meanwhile.
local function give_back(ref, h, extra)
  release(ref, h)
  if h.kind ~= 'publish' then set_state(ref, h, queued_state(h), extra) end
end

-- Note that somebody speaks to Redis. After a silence of more than 5 s (Redis or the whole system was
-- away) nothing is reaped for one full lease, so an outage does not look like the death of every worker.
local function contact(lease)
  local key = P .. 'contact'
  local last = tonumber(redis.call('HGET', key, 'last') or NOW)
  if NOW - last > 5000 then redis.call('HSET', key, 'quiet_until', NOW + lease) end
  redis.call('HSET', key, 'last', NOW)
  return tonumber(redis.call('HGET', key, 'quiet_until') or 0) > NOW
end

-- Take a task that is erased or expired out of every index.
local function forget(ref)
  local tenant, id = split(ref)
  redis.call('ZREM', P .. 'expiring', ref)
  redis.call('ZREM', tenant_key(tenant, 'index'), id)
  redis.call('ZREM', P .. 'dead', ref)
  for state in pairs(FINISHED) do redis.call('ZREM', tenant_key(tenant, 'state:' .. state), id) end
end
