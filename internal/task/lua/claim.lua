-- CLAIM: take the next task of a lane for a worker, with all its gates, or none.
-- ARGV: 1 worker, 2 home, 3 token, 4 claim id, 5 lease in ms, 6 lane
-- -> {'task', {field, value, ...}} the whole hash as it is now | {'none'} | {'held'} there is work, not for this worker:
--    it is throttled or isolated | {'again'} 64 steps were not enough: call again
local worker, home, token, claim, lease, lane = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local STARVES = 600000                                          -- ms a run may wait behind higher priorities of its tenant
local STEPS = 64                                                -- tasks parked, or entries put right, by one call

local known = redis.call('GET', P .. 'claim:' .. token)         -- the same call after a lost reply
if known then
  local key = task_key(known)
  if redis.call('HGET', key, 'token') ~= token then return {'none'} end
  return {'task', redis.call('HGETALL', key)}
end

-- The tenant with the lowest virtual time in the lists this worker may take from, that time, and the suffixes
-- where anything waits; or true when a time had to be put right first (it was served from other lists since).
local function next_tenant()
  local best, best_time, suffixes
  suffixes = {}
  for _, suffix in ipairs({'', '@' .. home}) do
    local flows = P .. 'flows:' .. lane .. suffix
    local first = redis.call('ZRANGE', flows, 0, 0, 'WITHSCORES')
    if first[1] then
      suffixes[#suffixes + 1] = suffix
      local at = tonumber(first[2])
      local own = tonumber(redis.call('ZSCORE', P .. 'served:' .. lane, first[1]) or 0)
      if own > at then
        redis.call('ZADD', flows, 'XX', own, first[1])
        return true
      end
      if not best or at < best_time then best, best_time = first[1], at end
    end
  end
  return best, best_time, suffixes
end

local function age_of(tenant, id) return tonumber(redis.call('ZSCORE', P .. 'queued', tenant .. '/' .. id) or 0) end

-- Where one tenant stands in both lists, the higher priority goes first, then the older head.
local function head_of(tenant, suffixes)
  local found
  for _, suffix in ipairs(suffixes) do
    for prio = 0, found and found.prio or 2 do
      local list = list_key(lane, suffix, tenant, prio)
      local id = redis.call('LINDEX', list, 0)
      if id then
        if not found or prio < found.prio or age_of(tenant, id) < age_of(tenant, found.id) then
          found = {id = id, suffix = suffix, prio = prio, list = list}
        end
        break
      end
    end
  end
  return found
end

-- A run that higher priorities of its tenant have kept waiting too long, the oldest: about each eighth claim is for one.
-- Multiples of the golden ratio spread evenly whatever the steps of virtual time are, so nobody has to count.
local function starved_of(tenant, virtual_time, suffixes)
  if virtual_time * 0.6180339887 % 1 < 0.875 then return end
  local found, since = nil, NOW - STARVES
  for _, suffix in ipairs(suffixes) do
    for prio = 0, 2 do
      local list = list_key(lane, suffix, tenant, prio)
      local id = redis.call('LINDEX', list, 0)
      local age = id and age_of(tenant, id)
      if id and age < since then found, since = {id = id, suffix = suffix, prio = prio, list = list}, age end
    end
  end
  return found
end

-- What the claim allows: whose token it is, and until when an agent may run (ms).
local function permit(f)
  local seconds = f.kind ~= 'publish' and string.match(f.config or '', '"timeout_seconds":(%d+)')
  return seconds and token .. ' ' .. text(NOW + seconds * 1000 - (f.ran or 0)) or token
end

local function take(t, gates, limits)
  local f = t.f
  take_gates(t, gates, limits, token)
  redis.call('ZADD', P .. 'leases', NOW + lease, t.ref)
  redis.call('SADD', P .. 'held:' .. worker, t.ref)
  redis.call('SET', P .. 'claim:' .. token, t.ref, 'PX', lease)
  redis.call('ZREM', P .. 'queued', t.ref)
  clear(t, 'at', 'wait_reason', 'wait_until', 'waited', 'pause')
  set(t, {token = token, worker = worker, claim = claim, attempt = f.attempt + 1, batch = 0,
    granted_at = NOW, started_at = f.started_at or NOW, permit = permit(f)})
  if f.attempt == '1' then observe('queue_wait:' .. lane, QUEUE_WAIT, (NOW - tonumber(f.since)) / 1000) end
  if f.kind ~= 'publish' then
    set_state(t, 'cloning', ',"attempt":' .. f.attempt .. ',"worker":' .. quote(worker))
  end
  save(t)
end

-- The tenant pays for what it got: its virtual time moves on, the slower the heavier it is. Member '' is the
-- lane's clock, the virtual time last served, which never goes back.
local function charge(tenant, virtual_time, weight, suffixes)
  local own = virtual_time + 1 / math.max(tonumber(weight or 1) or 1, 0.001)
  redis.call('ZADD', P .. 'served:' .. lane, 'GT', virtual_time, '', own, tenant)
  for _, suffix in ipairs(suffixes) do redis.call('ZADD', P .. 'flows:' .. lane .. suffix, 'XX', own, tenant) end
end

local function pass_the_baton(suffixes)
  for _, suffix in ipairs(suffixes) do
    if redis.call('EXISTS', P .. 'flows:' .. lane .. suffix) == 1 then ring_lane(lane, suffix) end
  end
end

-- Whether an escalation keeps this worker from more work. most: at once, or nil
local is_held = false
local function may_take(most)
  if not most then return true end
  is_held = tonumber(most) == 0 or lane ~= 'publish' and redis.call('SCARD', P .. 'held:' .. worker) >= tonumber(most)
  return not is_held
end

-- Claim, park or drop the task at the head of a tenant's list; returns the task when it was claimed.
local function serve(tenant, head, virtual_time, suffixes)
  local t = read(tenant .. '/' .. head.id, 'at', 'status', 'kind', 'priority', 'gates', 'since', 'seq', 'attempt', 'started_at',
    'waited', 'config', 'pause', 'ran')
  if t.f.at ~= 'list ' .. lane .. ' ' .. head.suffix then       -- no such task any more
    redis.call('LPOP', head.list)
    return leave_if_empty(lane, head.suffix, tenant)
  end
  if t.f.pause and t.f.kind ~= 'publish' then                   -- given back by a script that knows no pause
    pause_queued(t)
    return save(t)
  end
  local gates = gates_of(t)
  local limits, own, weight, most = limits_of(gates, 'weight:' .. tenant, 'weight:*', 'throttle:worker:' .. worker)
  if not may_take(most) then return nil end
  local closed, opens = closed_gate(gates, limits)
  if closed == 'tenant:' .. tenant then                         -- the tenant waits, with all its lists
    for _, suffix in ipairs(suffixes) do park_flow(closed, lane, suffix, tenant) end
    wait_for(t, t.f.at, 'cap', nil, closed)
    return save(t)
  end
  redis.call('LPOP', head.list)
  if closed then
    park(t, closed, opens)
    leave_if_empty(lane, head.suffix, tenant)
    return save(t)
  end
  take(t, gates, limits)
  charge(tenant, virtual_time, own or weight, suffixes)
  leave_if_empty(lane, head.suffix, tenant)
  return t
end

for _ = 1, STEPS do
  local tenant, virtual_time, suffixes = next_tenant()
  if not tenant then return {'none'} end
  if tenant ~= true then
    local head = starved_of(tenant, virtual_time, suffixes) or head_of(tenant, suffixes)
    local t = head and serve(tenant, head, virtual_time, suffixes)
    if is_held then
      pass_the_baton(suffixes)
      return {'held'}
    end
    if t then
      pass_the_baton(suffixes)
      return {'task', redis.call('HGETALL', t.key)}
    end
    if not head then                                            -- nothing left here: out of the round
      for _, suffix in ipairs(suffixes) do leave_if_empty(lane, suffix, tenant) end
    end
  end
end
return {'again'}
