-- Where a queued task stands: in a list, at a gate, waiting for a time or for a home. Field `at` says which,
-- and the sorted set `queued` has everything that does, by the time its run was queued (field `since`).
--
-- A *lane* is agent, publish or alone. A *suffix* is "" for the common lists and "@<home>" for those of one
-- home. A tenant with work in a lane's lists has an entry with its virtual time in `flows:<lane><suffix>`.

local PRIORITY = {high = 0, normal = 1, low = 2}
local LIVES = 3          -- workers a run may lose before it is a dead letter

local function list_key(lane, suffix, tenant, prio) return P .. 'queue:' .. lane .. suffix .. ':' .. tenant .. ':' .. prio end
local function flow_entry(lane, suffix, tenant) return 'flow ' .. lane .. suffix .. ' ' .. tenant end

local function lane_of(t)
  if tonumber(t.f.lost) >= LIVES - 1 then return 'alone' end -- one more and it is dead: it takes nobody with it
  return t.f.kind == 'publish' and 'publish' or 'agent'
end
local function queued_state(t)
  if t.f.kind == 'publish' then return 'creating_pr' end
  return t.f.iteration == '1' and 'pending' or 'awaiting_instruction'
end

local function ring_lane(lane, suffix) ring(P .. 'bell:' .. lane .. suffix) end

local function has_work(lane, suffix, tenant)
  return redis.call('EXISTS', list_key(lane, suffix, tenant, 0), list_key(lane, suffix, tenant, 1),
    list_key(lane, suffix, tenant, 2)) > 0
end
-- A tenant that joins starts at the larger of the lane's clock (member '') and its own last time, never at 0.
local function join(lane, suffix, tenant)
  local flows = P .. 'flows:' .. lane .. suffix
  if redis.call('ZSCORE', flows, tenant) then return end
  if redis.call('ZSCORE', gate_key('tenant:' .. tenant, 'parked'), flow_entry(lane, suffix, tenant)) then return end
  local times = redis.call('ZMSCORE', P .. 'served:' .. lane, tenant, '')
  redis.call('ZADD', flows, math.max(tonumber(times[1] or 0), tonumber(times[2] or 0)), tenant)
end
local function forget_if_empty(gate)
  if redis.call('EXISTS', gate_key(gate, 'parked')) == 0 then redis.call('ZREM', P .. 'gates:parked', gate) end
end
local function leave_if_empty(lane, suffix, tenant)
  if has_work(lane, suffix, tenant) then return end
  redis.call('ZREM', P .. 'flows:' .. lane .. suffix, tenant)
  local gate = 'tenant:' .. tenant
  if redis.call('ZREM', gate_key(gate, 'parked'), flow_entry(lane, suffix, tenant)) == 1 then forget_if_empty(gate) end
end

-- Put a task where its age belongs, behind all that are older. A list is in order of age but for what went to its
-- head, so a search by halves finds the place, or one as good.
local function insert_by_age(list, t)
  local low, high = 0, redis.call('LLEN', list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local age = redis.call('ZSCORE', P .. 'queued', t.tenant .. '/' .. redis.call('LINDEX', list, middle))
    if tonumber(age or 0) <= tonumber(t.f.since) then low = middle + 1 else high = middle end
  end
  local younger = redis.call('LINDEX', list, low)
  if younger then redis.call('LINSERT', list, 'BEFORE', younger, t.id) else redis.call('RPUSH', list, t.id) end
end

-- Put a queued task into a list: where its work lies, or the common ones when suffix says so. front: true to its head,
-- false to its end, 'age' to the place of its age
local function push(t, front, suffix)
  local lane, home = lane_of(t), t.f.home or ''
  if not suffix then suffix = home ~= '' and not t.f.lost_work and '@' .. home or '' end
  if suffix ~= '' then redis.call('ZADD', P .. 'homes', 'NX', 0, home) end
  local list = list_key(lane, suffix, t.tenant, PRIORITY[t.f.priority])
  if front == 'age' then insert_by_age(list, t) else redis.call(front and 'LPUSH' or 'RPUSH', list, t.id) end
  set(t, {at = 'list ' .. lane .. ' ' .. suffix})
  clear(t, 'wait_reason', 'wait_until')
  redis.call('ZADD', P .. 'queued', 'NX', t.f.since, t.ref)
  join(lane, suffix, t.tenant)
  ring_lane(lane, suffix)
end

-- What a task waits for and where it stands meanwhile; said once per reason. gate: where it waits at one
local function wait_for(t, at, reason, until_ms, gate)
  set(t, {at = at, wait_reason = reason})
  if until_ms then set(t, {wait_until = until_ms}) else clear(t, 'wait_until') end
  redis.call('ZADD', P .. 'queued', 'NX', t.f.since, t.ref)
  if t.f.waited ~= reason then
    set(t, {waited = reason})
    local when = until_ms and '"' .. stamp(until_ms) .. '"' or 'null'
    local where = gate and ',"gate":' .. quote(gate) or ''
    emit(t, 'system', 'waiting', '{"reason":"' .. reason .. '","until":' .. when .. where .. '}')
  end
end
-- Who is next of the tasks parked at a gate: by priority, then age. Where tenants share the gate, each of them has a
-- stretch of scores of its own, so that they can go on in turn; two may have the same one, and one turn.
local parked = {STRETCH = 1e11}
function parked.score(t, gate)
  local rank, since = PRIORITY[t.f.priority] + 1, tonumber(t.f.since)
  if tenant_of(gate) then return rank * 1e13 + since end
  local stretch = 0
  for i = 1, #t.tenant do stretch = (stretch * 31 + string.byte(t.tenant, i)) % 65536 end
  return stretch * parked.STRETCH + rank * 1e10 + math.floor(since / 1000)
end
-- Take up to `count` tasks from a gate. Its key `turn` has the stretch that went last.
function parked.pop(gate, count)
  local key, turn_key, found = gate_key(gate, 'parked'), gate_key(gate, 'turn'), {}
  if tenant_of(gate) or redis.call('ZCARD', key) <= count then
    found = redis.call('ZRANGE', key, 0, count - 1)
    if #found > 0 then redis.call('ZREM', key, unpack(found)) end
    return found
  end
  local turn = tonumber(redis.call('GET', turn_key) or -1)
  for i = 1, count do
    local first = redis.call('ZRANGE', key, text((turn + 1) * parked.STRETCH), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    if not first[1] then first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES') end
    redis.call('ZREM', key, first[1])
    found[i], turn = first[1], math.floor(tonumber(first[2]) / parked.STRETCH)
  end
  redis.call('SET', turn_key, text(turn), 'EX', 3600)
  return found
end
-- opens: when the gate has room for it (ms), where that is known
local function park(t, gate, opens)
  redis.call('ZADD', gate_key(gate, 'parked'), parked.score(t, gate), 'task ' .. t.ref)
  redis.call('ZADD', P .. 'gates:parked', 'NX', NOW, gate)
  wait_for(t, 'gate ' .. gate, wait_reason(gate), opens, gate)
end
-- The whole tenant waits at its own gate; its tasks stay in their lists.
local function park_flow(gate, lane, suffix, tenant)
  if redis.call('ZREM', P .. 'flows:' .. lane .. suffix, tenant) == 0 then return end
  redis.call('ZADD', gate_key(gate, 'parked'), 0, flow_entry(lane, suffix, tenant))
  redis.call('ZADD', P .. 'gates:parked', 'NX', NOW, gate)
end

local function unpark_flow(entry)
  local lane, suffix, tenant = string.match(entry, '^flow (%a+)(@?[^ ]*) (.*)$')
  if not has_work(lane, suffix, tenant) then return end
  if suffix ~= '' then redis.call('ZADD', P .. 'homes', 'NX', 0, string.sub(suffix, 2)) end
  join(lane, suffix, tenant)
  ring_lane(lane, suffix)
end
-- Let the parked flows of a gate go on, else up to `count` of its parked tasks, each to the head of its list.
-- Returns how many went.
local function unpark(gate, count)
  local key = gate_key(gate, 'parked')
  local entries = redis.call('ZRANGEBYSCORE', key, 0, 0, 'LIMIT', 0, 16)
  if #entries > 0 then redis.call('ZREM', key, unpack(entries)) else entries = parked.pop(gate, count) end
  for i = #entries, 1, -1 do                                    -- the first one last, so it stands before the others
    local ref = string.match(entries[i], '^task (.*)$')
    if ref then
      local t = load(ref)
      if t.f.at == 'gate ' .. gate then
        push(t, true)
        save(t)
      end
    else
      unpark_flow(entries[i])
    end
  end
  forget_if_empty(gate)
  return #entries
end

-- Take a queued task out of wherever it stands.
local function withdraw(t)
  local at = t.f.at or ''
  local lane, suffix = string.match(at, '^list (%a+) (.*)$')
  local gate, home = string.match(at, '^gate (.*)$'), string.match(at, '^home (.*)$')
  if lane then
    redis.call('LREM', list_key(lane, suffix, t.tenant, PRIORITY[t.f.priority]), 1, t.id)
    leave_if_empty(lane, suffix, t.tenant)
  elseif gate then
    redis.call('ZREM', gate_key(gate, 'parked'), 'task ' .. t.ref)
    forget_if_empty(gate)
  elseif home then
    redis.call('ZREM', P .. 'home:' .. home .. ':away', t.ref)
  elseif at == 'due' then
    redis.call('ZREM', P .. 'due', t.ref)
  end
  redis.call('ZREM', P .. 'queued', t.ref)
  clear(t, 'at', 'wait_reason', 'wait_until', 'waited')
end
