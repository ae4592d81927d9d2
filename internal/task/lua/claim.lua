-- CLAIM: take the next task of a lane for a worker, with all its gates, or none.
-- ARGV: 1 worker, 2 home, 3 token, 4 claim id, 5 lease in ms, 6 lane
-- -> {'task', field, value, ...} the whole hash as it is now | {'none'} | {'again'} 64 were parked: call again
local worker, home, token, claim, lease, lane = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local SUFFIXES = {'', '@' .. home}

local function answer(h)
  local flat = {'task'}
  for name, value in pairs(h) do
    if name ~= 'prev' then
      flat[#flat + 1] = name
      flat[#flat + 1] = value
    end
  end
  return flat
end

local known = redis.call('GET', P .. 'claim:' .. token)                   -- the same call after a lost reply
if known then
  local h = load(known)
  if h.token == token then return answer(h) end
  return {'none'}
end

-- The tenant with the lowest virtual time in the lists this worker may take from.
local function next_tenant()
  while true do
    local best, best_time, stale
    for _, suffix in ipairs(SUFFIXES) do
      local flows = P .. 'flows:' .. lane .. suffix
      local first = redis.call('ZRANGE', flows, 0, 0, 'WITHSCORES')
      if first[1] then
        local own = tonumber(redis.call('ZSCORE', P .. 'served:' .. lane, first[1]) or 0)
        if own > tonumber(first[2]) then                                  -- served elsewhere since it joined here
          redis.call('ZADD', flows, own, first[1])
          stale = true
        elseif not best or tonumber(first[2]) < best_time then
          best, best_time = first[1], tonumber(first[2])
        end
      end
    end
    if not stale then return best, best_time end
  end
end

-- Where one tenant stands in both lists, the higher priority goes first, then the older head.
local function head_of(tenant)
  local found, found_suffix, found_prio, found_age
  for _, suffix in ipairs(SUFFIXES) do
    for prio = 0, 2 do
      local id = redis.call('LINDEX', list_key(lane, suffix, tenant, prio), 0)
      if id then
        local age = tonumber(redis.call('ZSCORE', P .. 'queued', tenant .. '/' .. id) or 0)
        if not found or prio < found_prio or (prio == found_prio and age < found_age) then
          found, found_suffix, found_prio, found_age = id, suffix, prio, age
        end
        break
      end
    end
  end
  return found, found_suffix, found_prio
end

local function serve(tenant, virtual_time)
  local weight = tonumber(redis.call('HGET', P .. 'limits', 'weight:' .. tenant) or 1)
  local own = virtual_time + 1 / weight
  redis.call('SET', P .. 'clock:' .. lane, virtual_time)
  redis.call('ZADD', P .. 'served:' .. lane, own, tenant)
  for _, suffix in ipairs(SUFFIXES) do
    redis.call('ZADD', P .. 'flows:' .. lane .. suffix, 'XX', own, tenant)
    leave_if_empty(lane, suffix, tenant)
  end
end

local function take(ref, h)
  for _, gate in ipairs(gates_of(h)) do redis.call('SADD', gate_key(gate.key, 'held'), ref) end
  redis.call('ZADD', P .. 'leases', NOW + lease, ref)
  redis.call('SADD', P .. 'held:' .. worker, ref)
  redis.call('SET', P .. 'claim:' .. token, ref, 'PX', lease)
  redis.call('ZREM', P .. 'queued', ref)
  clear(ref, h, 'at', 'wait_reason', 'wait_until', 'waited', 'op')
  local attempt = tonumber(h.attempt or 0) + 1
  set(ref, h, {token = token, worker = worker, claim = claim, attempt = attempt, batch = 0, started_at = h.started_at or NOW})
  if h.kind ~= 'publish' then
    set_state(ref, h, 'cloning', ',"attempt":' .. attempt .. ',"worker":' .. quote(worker))
    row(ref, h, {started_at = h.started_at})
  end
end

for _ = 1, 64 do
  local tenant, virtual_time = next_tenant()
  if not tenant then return {'none'} end
  local id, suffix, prio = head_of(tenant)
  if not id then                                                          -- nothing left here: out of the round
    for _, sfx in ipairs(SUFFIXES) do leave_if_empty(lane, sfx, tenant) end
  else
    local ref = tenant .. '/' .. id
    local h = load(ref)
    local list = list_key(lane, suffix, tenant, prio)
    if h.at ~= 'list ' .. lane .. ' ' .. suffix then
      redis.call('LREM', list, 1, id)                                     -- no such task any more
    else
      local closed
      for _, gate in ipairs(gates_of(h)) do
        if not closed and free_of(gate.key) < gate.cost then closed = gate.key end
      end
      if closed == 'tenant:' .. tenant then                               -- the whole tenant waits, from both lists
        for _, sfx in ipairs(SUFFIXES) do
          if redis.call('ZREM', P .. 'flows:' .. lane .. sfx, tenant) == 1 then
            redis.call('ZADD', gate_key(closed, 'parked'), 0, 'flow ' .. lane .. sfx .. ' ' .. tenant)
          end
        end
        redis.call('SADD', P .. 'gates:parked', closed)
        wait_for(ref, h, h.at, 'cap')
      else
        redis.call('LPOP', list)
        if closed then
          park(ref, h, closed)
          leave_if_empty(lane, suffix, tenant)
        else
          take(ref, h)
          serve(tenant, virtual_time)
          for _, sfx in ipairs(SUFFIXES) do                               -- pass the baton
            if redis.call('EXISTS', P .. 'flows:' .. lane .. sfx) == 1 then ring(lane, sfx) end
          end
          return answer(h)
        end
      end
    end
  end
end
return {'again'}
