#!lua flags=allow-oom
-- REAP: the chores of the queue; any process may run it, at any rate.
-- ARGV: 1 most entries to handle per chore, 2 grace behind a lease's end in ms, 3 lease in ms,
--       4 ms a task waits for a home that is away, 5 what the loss of a worker signals (lib/escalation.lua)
-- -> {tasks of lost workers, tasks promoted, 1 when more is left to do now}
local LIMIT, grace, lease, home_grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function bury(t)                                          -- out of lives: a dead letter
  local message = 'lost ' .. t.f.lost .. ' workers while it ran'
  if t.f.kind == 'publish' then return fail_publish(t, 'worker_lost', message) end
  fail_run(t, 'worker_lost', message, true)
end

-- A task whose worker is gone: back to the head of its queue, or to its end when it was cancelled or had its last
-- life. charge: lives it costs; a run that comes back uncharged over and over pays from the fourth time on, so it
-- ends. Returns 1, or 0 when it is not that worker's any more.
local function take_back(ref, worker, charge)
  redis.call('SREM', P .. 'held:' .. worker, ref)
  local t = load(ref)
  local f = t.f
  if f.worker ~= worker then
    if not f.token then redis.call('ZREM', P .. 'leases', ref) end
    return 0
  end
  redis.call('ZADD', P .. 'leases', NOW + 60000, ref)           -- a broken one is told, and keeps nobody waiting
  assert(f.since and f.retain and PRIORITY[f.priority] and NEXT:find(' ' .. f.status .. '>', 1, true), 'broken document: ' .. ref)
  if charge == 0 then
    set(t, {strays = (f.strays or 0) + 1})
    charge = tonumber(f.strays) > LIVES and 1 or 0
  end
  set(t, {lost = f.lost + charge})
  if charge == 1 then note_signals(t, ARGV[5] or '') end
  count('leases_lost:' .. (charge == 1 and 'worker_lost' or 'claim_lost'))
  if f.cancel then
    release(t)
    cancel_run(t)
  elseif tonumber(f.lost) >= LIVES then
    note_attempt(t, 'worker_lost')
    release(t)
    bury(t)
  else
    if not give_back(t, charge == 1 and 'worker_lost' or 'claim_lost') then push(t, true) end
    save(t)
  end
  return 1
end

-- All tasks of a dead worker end together; its record goes with the last. Returns how many did.
local function bury_worker(worker, count)
  local lost, refs = 0, redis.call('SRANDMEMBER', P .. 'held:' .. worker, count)
  table.sort(refs, function(a, b) return a > b end)             -- ids sort by age: the oldest comes to the head
  for _, ref in ipairs(refs) do lost = lost + take_back(ref, worker, 1) end
  if redis.call('EXISTS', P .. 'held:' .. worker) == 0 then
    leave_registry(worker, redis.call('HGET', P .. 'worker:' .. worker, 'home') or '')
  end
  return lost
end

-- After the clock went back no lease may last until it is there again. Who lives has renewed its own by now.
local function mend_leases()
  if redis.call('HEXISTS', P .. 'contact', 'back') == 0 then return end
  local refs = redis.call('ZRANGEBYSCORE', P .. 'leases', '(' .. text(NOW + lease), '+inf', 'LIMIT', 0, LIMIT)
  for _, ref in ipairs(refs) do redis.call('ZADD', P .. 'leases', NOW + lease, ref) end
  if #refs < LIMIT then redis.call('HDEL', P .. 'contact', 'back') end
end

local function reap_leases()
  local lost = 0
  mend_leases()
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', NOW - grace, 'LIMIT', 0, LIMIT)) do
    if lost >= LIMIT then break end
    local worker = redis.call('HGET', task_key(ref), 'worker')
    if not worker then redis.call('ZREM', P .. 'leases', ref)    -- taken back with another one of its worker
    elseif tonumber(redis.call('ZSCORE', P .. 'workers', worker) or 0) > NOW - lease - grace then
      take_back(ref, worker, 0)                                 -- it lives: the reply of its CLAIM was lost
    else
      lost = lost + bury_worker(worker, LIMIT - lost)
      if redis.call('SISMEMBER', P .. 'held:' .. worker, ref) == 0 then lost = lost + take_back(ref, worker, 1) end
    end
  end
  return lost
end

local function promote_due()
  local refs = redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', NOW, 'LIMIT', 0, LIMIT)
  for _, ref in ipairs(refs) do
    redis.call('ZREM', P .. 'due', ref)
    local t = load(ref)
    if t.f.at == 'due' then
      push(t, true)
      save(t)
    end
  end
  return #refs
end

-- Time passes, a limit may have been raised, or what a release let go on may have been cancelled.
local function check_gates()
  local left = LIMIT
  for _, key in ipairs(redis.call('ZRANGE', P .. 'gates:parked', 0, LIMIT - 1)) do
    if left <= 0 then break end
    redis.call('ZADD', P .. 'gates:parked', 'XX', NOW, key)     -- to the end: the others come first next time
    local gate = {key = key, kind = kind_of(key), cost = 1}
    local room = room_of(gate, limits_of({gate})[1])
    if room >= 1 then left = left - unpark(key, math.floor(math.min(room, left))) end
  end
  redis.call('ZREMRANGEBYSCORE', P .. 'gates:shut', '-inf', NOW - FORGET)
end

local function check_homes(quiet)
  local left = LIMIT
  for _, home in ipairs(redis.call('ZRANGE', P .. 'homes', 0, 15)) do
    redis.call('ZADD', P .. 'homes', 'XX', NOW, home)
    if home_lives(home) then
      left = left - return_home(home, left)
    elseif not quiet then
      left = left - give_up_waiting(home, left)
      left = left - move_lists(home, NOW + home_grace, left)
    end
    if not has_anything(home) then redis.call('ZREM', P .. 'homes', home) end
    if left <= 0 then break end
  end
  return LIMIT - left
end

-- A script that knows no directives left some behind a run that it ended; what it cancelled is told nothing more.
function directives.begin_left()
  for _, ref in ipairs(redis.call('ZRANGE', P .. 'directed', 0, 15)) do
    redis.call('ZADD', P .. 'directed', 'XX', NOW, ref)
    local t = read(ref, 'status', 'failure')
    if not t.f.status or FINISHED[t.f.status] and string.find(t.f.failure or '', '"reason":"canceled"', 1, true) then
      redis.call('DEL', directives.key(t))
      directives.leave(t)
    elseif FINISHED[t.f.status] then
      begin_next(t)
    end
  end
end

local function trim()
  local expired = redis.call('ZRANGEBYSCORE', P .. 'expiring', '-inf', NOW, 'LIMIT', 0, LIMIT)
  for _, ref in ipairs(expired) do
    if redis.call('EXISTS', task_key(ref)) == 0 then forget(ref) else redis.call('ZADD', P .. 'expiring', NOW + 1000, ref) end
  end
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', NOW - 60000, 'LIMIT', 0, LIMIT)) do
    if redis.call('EXISTS', P .. 'held:' .. worker) == 0 then redis.call('ZREM', P .. 'workers', worker) end
  end
  for _, lane in ipairs(LANES) do                               -- a time the clock has passed says nothing any more
    local passed = redis.call('ZSCORE', P .. 'served:' .. lane, '')
    if passed then redis.call('ZREMRANGEBYSCORE', P .. 'served:' .. lane, '-inf', '(' .. passed) end
  end
  return #expired
end

local quiet = contact(lease)
local lost = quiet and 0 or reap_leases()
local promoted = promote_due()
check_gates()
check_escalations()
local moved = check_homes(quiet)
directives.begin_left()
local trimmed = trim()
return {lost, promoted + moved, math.max(lost, promoted, moved, trimmed) >= LIMIT and 1 or 0}
