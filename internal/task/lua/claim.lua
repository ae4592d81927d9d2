-- CLAIM: take the next task of a lane for a worker, with all its gates, or none.
-- ARGV: 1 worker, 2 home, 3 token, 4 claim id, 5 lease in ms, 6 lane
-- -> {'task', field, value, ...} the whole hash as it is now | {'none'} | {'again'} 64 steps were not enough:
--    call again
local worker, home, token, claim, lease, lane = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local STEPS = 64                                                -- tasks parked, or entries put right, by one call
local SUFFIXES = {'', '@' .. home}

local function answer(t)
  local flat = {'task'}
  for name, value in pairs(t.f) do
    if name ~= 'prev' then
      flat[#flat + 1] = name
      flat[#flat + 1] = value
    end
  end
  return flat
end

local known = redis.call('GET', P .. 'claim:' .. token)         -- the same call after a lost reply
if known then
  local t = load(known)
  return t.f.token == token and answer(t) or {'none'}
end

-- The tenant with the lowest virtual time in the lists this worker may take from, that time, and the suffixes
-- it stands in; or true when a time had to be put right first (the tenant was served from other lists since).
local function next_tenant()
  local best, best_time
  for _, suffix in ipairs(SUFFIXES) do
    local flows = P .. 'flows:' .. lane .. suffix
    local first = redis.call('ZRANGE', flows, 0, 0, 'WITHSCORES')
    if first[1] then
      local at = tonumber(first[2])
      local own = tonumber(redis.call('ZSCORE', P .. 'served:' .. lane, first[1]) or 0)
      if own > at then
        redis.call('ZADD', flows, 'XX', own, first[1])
        return true
      end
      if not best or at < best_time then best, best_time = first[1], at end
    end
  end
  return best, best_time
end

-- Where one tenant stands in both lists, the higher priority goes first, then the older head.
local function head_of(tenant)
  local found, found_age
  for _, suffix in ipairs(SUFFIXES) do
    for prio = 0, found and found.prio or 2 do
      local list = list_key(lane, suffix, tenant, prio)
      local id = redis.call('LINDEX', list, 0)
      if id then
        local head = {id = id, suffix = suffix, prio = prio, list = list}
        if found and prio == found.prio then
          found_age = found_age or tonumber(redis.call('ZSCORE', P .. 'queued', tenant .. '/' .. found.id) or 0)
          if tonumber(redis.call('ZSCORE', P .. 'queued', tenant .. '/' .. id) or 0) < found_age then found = head end
        else
          found = head
        end
        break
      end
    end
  end
  return found
end

local function take(t, gates)
  local f = t.f
  for _, gate in ipairs(gates) do redis.call('SADD', gate_key(gate.key, 'held'), t.ref) end
  redis.call('ZADD', P .. 'leases', NOW + lease, t.ref)
  redis.call('SADD', P .. 'held:' .. worker, t.ref)
  redis.call('SET', P .. 'claim:' .. token, t.ref, 'PX', lease)
  redis.call('ZREM', P .. 'queued', t.ref)
  clear(t, 'at', 'wait_reason', 'wait_until', 'waited')
  set(t, {token = token, worker = worker, claim = claim, attempt = f.attempt + 1, batch = 0,
    started_at = f.started_at or NOW})
  if f.kind ~= 'publish' then
    row(t, {started_at = f.started_at})
    set_state(t, 'cloning', ',"attempt":' .. f.attempt .. ',"worker":' .. quote(worker))
  end
  save(t)
end

-- The tenant pays for what it got: its virtual time moves on, the slower the heavier it is.
local function charge(tenant, virtual_time)
  local weight = tonumber(redis.call('HGET', P .. 'limits', 'weight:' .. tenant) or 1) or 1
  local own = virtual_time + 1 / math.max(weight, 0.001)
  if virtual_time > tonumber(redis.call('GET', P .. 'clock:' .. lane) or -1) then
    redis.call('SET', P .. 'clock:' .. lane, virtual_time)
  end
  redis.call('ZADD', P .. 'served:' .. lane, own, tenant)
  for _, suffix in ipairs(SUFFIXES) do redis.call('ZADD', P .. 'flows:' .. lane .. suffix, 'XX', own, tenant) end
end

local function pass_the_baton()
  for _, suffix in ipairs(SUFFIXES) do
    if redis.call('EXISTS', P .. 'flows:' .. lane .. suffix) == 1 then ring_lane(lane, suffix) end
  end
end

-- Claim, park or drop the task at the head of a tenant's list; returns the task when it was claimed.
local function serve(tenant, head, virtual_time)
  local t = load(tenant .. '/' .. head.id)
  if t.f.at ~= 'list ' .. lane .. ' ' .. head.suffix then       -- no such task any more
    redis.call('LPOP', head.list)
    return leave_if_empty(lane, head.suffix, tenant)
  end
  local gates = gates_of(t)
  local closed = closed_gate(gates)
  if closed == 'tenant:' .. tenant then                         -- the tenant waits, with all its lists
    for _, suffix in ipairs(SUFFIXES) do park_flow(closed, lane, suffix, tenant) end
    wait_for(t, t.f.at, 'cap')
    return save(t)
  end
  redis.call('LPOP', head.list)
  if closed then
    park(t, closed)
    leave_if_empty(lane, head.suffix, tenant)
    return save(t)
  end
  take(t, gates)
  charge(tenant, virtual_time)
  leave_if_empty(lane, head.suffix, tenant)
  return t
end

for _ = 1, STEPS do
  local tenant, virtual_time = next_tenant()
  if not tenant then return {'none'} end
  if tenant ~= true then
    local head = head_of(tenant)
    local t = head and serve(tenant, head, virtual_time)
    if t then
      pass_the_baton()
      return answer(t)
    end
    if not head then                                            -- nothing left here: out of the round
      for _, suffix in ipairs(SUFFIXES) do leave_if_empty(lane, suffix, tenant) end
    end
  end
end
return {'again'}
