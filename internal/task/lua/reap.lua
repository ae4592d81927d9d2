#!lua flags=allow-oom
-- REAP: the chores of the queue; any process may run it, at any rate.
-- ARGV: 1 most entries to handle per chore, 2 grace behind a lease's end in ms, 3 lease in ms,
--       4 ms a task waits for a home that is away
-- -> {tasks of lost workers, tasks promoted, 1 when more is left to do now}
local LIMIT, grace, lease, home_grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local quiet = contact(lease)
local lost, promoted, more = 0, 0, 0

local function bury(ref, h)                                     -- out of lives: a dead letter
  local message = 'lost ' .. h.lost .. ' workers while it ran'
  if h.kind == 'publish' then fail_publish(ref, h, 'worker_lost', message)
  else
    fail_run(ref, h, 'worker_lost', message)
    redis.call('ZADD', P .. 'dead', NOW, ref)
    redis.call('ZREMRANGEBYRANK', P .. 'dead', 0, -10001)
  end
end

local function take_back(ref, worker, charge)
  redis.call('SREM', P .. 'held:' .. worker, ref)
  local h = load(ref)
  if not h.token or h.worker ~= worker then
    if not h.token then redis.call('ZREM', P .. 'leases', ref) end
    return
  end
  lost = lost + charge
  set(ref, h, {lost = tonumber(h.lost or 0) + charge})
  if h.cancel then
    release(ref, h)
    if h.kind == 'publish' then fail_publish(ref, h, 'canceled', CANCELLED) else fail_run(ref, h, 'canceled', CANCELLED) end
  elseif tonumber(h.lost) >= LIVES then
    release(ref, h)
    bury(ref, h)
  else
    give_back(ref, h, ',"reason":"' .. (charge == 1 and 'worker_lost' or 'claim_lost') .. '"')
    push(ref, h, true)
  end
end

if not quiet then
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', NOW - grace, 'LIMIT', 0, LIMIT)) do
    local worker = redis.call('HGET', task_key(ref), 'worker')
    if not worker then redis.call('ZREM', P .. 'leases', ref)
    else
      local seen = tonumber(redis.call('ZSCORE', P .. 'workers', worker) or 0)
      if seen > NOW - lease - grace then take_back(ref, worker, 0)       -- it lives: the reply of its CLAIM was lost
      else
        take_back(ref, worker, 1)
        for _, other in ipairs(redis.call('SRANDMEMBER', P .. 'held:' .. worker, LIMIT)) do take_back(other, worker, 1) end
        if redis.call('EXISTS', P .. 'held:' .. worker) == 0 then
          local home = redis.call('HGET', P .. 'worker:' .. worker, 'home')
          redis.call('DEL', P .. 'worker:' .. worker)
          redis.call('ZREM', P .. 'workers', worker)
          if home then redis.call('ZREM', P .. 'home:' .. home, worker) end
        end
      end
    end
  end
end

for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', NOW, 'LIMIT', 0, LIMIT)) do
  redis.call('ZREM', P .. 'due', ref)
  local h = load(ref)
  if h.at == 'due' then
    push(ref, h, true)
    promoted = promoted + 1
  end
end

for _, gate in ipairs(redis.call('SRANDMEMBER', P .. 'gates:parked', 16)) do
  local free = free_of(gate)
  if free > 0 then unpark(gate, math.min(free, 64)) end
end

-- The lists of a home without a live worker go to the common ones; what only that home has, waits.
local function move_home(home)
  local suffix, budget = '@' .. home, LIMIT
  for _, lane in ipairs({'agent', 'publish', 'alone'}) do
    local flows = P .. 'flows:' .. lane .. suffix
    for _, tenant in ipairs(redis.call('ZRANGE', flows, 0, 15)) do
      for prio = 0, 2 do
        while budget > 0 do
          local id = redis.call('LPOP', list_key(lane, suffix, tenant, prio))
          if not id then break end
          budget = budget - 1
          local ref = tenant .. '/' .. id
          local h = load(ref)
          if h.at == 'list ' .. lane .. ' ' .. suffix then
            if h.truncated == '1' then
              redis.call('ZADD', P .. 'home:' .. home .. ':away', NOW + home_grace, ref)
              wait_for(ref, h, 'home ' .. home, 'home_away', NOW + home_grace)
            else
              push(ref, h, false, '')
              promoted = promoted + 1
            end
          end
        end
      end
      leave_if_empty(lane, suffix, tenant)
    end
    if redis.call('EXISTS', flows) == 1 then more = 1 end
  end
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'home:' .. home .. ':away', '-inf', NOW, 'LIMIT', 0, LIMIT)) do
    redis.call('ZREM', P .. 'home:' .. home .. ':away', ref)
    local h = load(ref)
    if h.at == 'home ' .. home then
      if h.kind == 'publish' then
        withdraw(ref, h)
        fail_publish(ref, h, 'worker_lost', 'the home that has the work is away')
      else
        emit(ref, h, {'system', 'workspace_lost', '{"home":' .. quote(home) .. '}'})
        set(ref, h, {lost_work = 1})
        push(ref, h, true, '')
        promoted = promoted + 1
      end
    end
  end
end
local function has_lists(home)
  return redis.call('EXISTS', P .. 'flows:agent@' .. home, P .. 'flows:publish@' .. home, P .. 'flows:alone@' .. home,
    P .. 'home:' .. home .. ':away') > 0
end
if not quiet then
  for _, home in ipairs(redis.call('SRANDMEMBER', P .. 'homes', 16)) do
    if redis.call('ZCOUNT', P .. 'home:' .. home, NOW - WORKER_TTL * 1000, '+inf') == 0 then move_home(home) end
    if not has_lists(home) then redis.call('SREM', P .. 'homes', home) end
  end
end

for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'expiring', '-inf', NOW, 'LIMIT', 0, LIMIT)) do
  if redis.call('EXISTS', task_key(ref)) == 0 then forget(ref) else redis.call('ZADD', P .. 'expiring', NOW + 1000, ref) end
end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', NOW - 60000, 'LIMIT', 0, LIMIT)) do
  if redis.call('EXISTS', P .. 'held:' .. worker) == 0 then redis.call('ZREM', P .. 'workers', worker) end
end
for _, lane in ipairs({'agent', 'publish', 'alone'}) do            -- a time the clock has passed says nothing any more
  local passed = redis.call('GET', P .. 'clock:' .. lane)
  if passed then redis.call('ZREMRANGEBYSCORE', P .. 'served:' .. lane, '-inf', passed) end
end
if lost >= LIMIT or promoted >= LIMIT then more = 1 end
return {lost, promoted, more}
