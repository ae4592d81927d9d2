-- A task whose work lies on a home queues in that home's lists. When no worker of the home lives, the lists go
-- to the common ones; what only that home has waits for it for a while.

local LANES = {'agent', 'publish', 'alone'}

local function away_key(home) return P .. 'home:' .. home .. ':away' end

local function has_anything(home)
  return redis.call('EXISTS', P .. 'flows:agent@' .. home, P .. 'flows:publish@' .. home, P .. 'flows:alone@' .. home,
    away_key(home)) > 0
end

-- Up to `count` tasks that waited for a home go back into its lists, in their old order; returns how many.
local function return_home(home, count)
  local refs = redis.call('ZRANGE', away_key(home), 0, count - 1)
  for i = #refs, 1, -1 do
    redis.call('ZREM', away_key(home), refs[i])
    local t = load(refs[i])
    if t.f.at == 'home ' .. home then
      push(t, true)
      save(t)
    end
  end
  return #refs
end

local function move_task(t, home, until_ms)
  if t.f.truncated == '1' then
    redis.call('ZADD', away_key(home), until_ms, t.ref)
    wait_for(t, 'home ' .. home, 'home_away', until_ms)
  else
    push(t, true, '')
  end
  save(t)
end
-- One list, from its end, so the order stays and a lost worker's task is still at the head.
local function move_list(home, lane, tenant, prio, until_ms, count)
  local list, moved = list_key(lane, '@' .. home, tenant, prio), 0
  while moved < count do
    local id = redis.call('RPOP', list)
    if not id then break end
    moved = moved + 1
    local t = load(tenant .. '/' .. id)
    if t.f.at == 'list ' .. lane .. ' @' .. home then move_task(t, home, until_ms) end
  end
  return moved
end
-- Up to `count` tasks in the lists of an absent home go to the common ones or begin to wait; returns how many.
local function move_lists(home, until_ms, count)
  local moved = 0
  for _, lane in ipairs(LANES) do
    for _, tenant in ipairs(redis.call('ZRANGE', P .. 'flows:' .. lane .. '@' .. home, 0, 15)) do
      for prio = 2, 0, -1 do moved = moved + move_list(home, lane, tenant, prio, until_ms, count - moved) end
      leave_if_empty(lane, '@' .. home, tenant)
    end
  end
  return moved
end

-- Up to `count` tasks that waited long enough start from the base commit; a create-pr never does. Returns how many.
local function give_up_waiting(home, count)
  local refs = redis.call('ZRANGEBYSCORE', away_key(home), '-inf', NOW, 'LIMIT', 0, count)
  for i = #refs, 1, -1 do
    redis.call('ZREM', away_key(home), refs[i])
    local t = load(refs[i])
    local waits = t.f.at == 'home ' .. home
    if waits and t.f.kind == 'publish' then
      withdraw(t)
      fail_publish(t, 'worker_lost', 'the home that has the work is away')
    elseif waits then
      emit(t, 'system', 'workspace_lost', '{"home":' .. quote(home) .. '}')
      set(t, {lost_work = 1})
      push(t, true)
      save(t)
    end
  end
  return #refs
end
