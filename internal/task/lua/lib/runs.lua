-- The end of a run: its lease and gates, its record, its webhook, its counters, its TTL.

local CANCELLED = 'cancelled by user'
local ATTEMPTS = 16      -- attempts of a run that are remembered
local LETTERS = 10000    -- dead letters that are kept

-- Remember how this attempt ended, in field `attempts`: one line of JSON each, the newest last.
local function note_attempt(t, reason)
  local f, lines = t.f, {}
  for line in string.gmatch(f.attempts or '', '[^\n]+') do lines[#lines + 1] = line end
  lines[#lines + 1] = '{"attempt":' .. f.attempt .. ',"worker":' .. quote(f.worker) .. ',"started_at":' .. (f.granted_at or 'null')
    .. ',"ended_at":' .. text(NOW) .. ',"reason":' .. quote(reason) .. '}'
  set(t, {attempts = table.concat(lines, '\n', math.max(1, #lines - ATTEMPTS + 1))})
end

-- A failed run that nothing repeats any more, lives or repeats used up: somebody has to look at it.
local function add_letter(t)
  redis.call('ZADD', P .. 'dead', NOW, t.ref)
  local dropped = redis.call('ZREMRANGEBYRANK', P .. 'dead', 0, -LETTERS - 1)
  if dropped > 0 then count('dead_letters_dropped', dropped) end
end

-- Give up the lease and the places at the gates; each gate lets one waiting entry go on. What was spent is settled.
local function release(t)
  settle(t)
  redis.call('ZREM', P .. 'leases', t.ref)
  if t.f.worker then redis.call('SREM', P .. 'held:' .. t.f.worker, t.ref) end
  if t.f.token then redis.call('DEL', P .. 'claim:' .. t.f.token) end
  local waiting = redis.call('EXISTS', P .. 'gates:parked') == 1
  local caps_only = t.f.permit and string.match(t.f.permit, '^%S+') == t.f.token  -- else a script of before took all as caps
  for _, gate in ipairs(gates_of(t)) do
    local held = (gate.kind == 'cap' or not caps_only) and redis.call('SREM', gate_key(gate.key, 'held'), t.ref) == 1
    if waiting and (held or gate.kind == 'until') and redis.call('ZSCORE', P .. 'gates:parked', gate.key) then
      if gate.kind ~= 'until' or step_back(t, gate) > 0 then unpark(gate.key, 1) end
    end
  end
  clear(t, 'token', 'worker', 'claim', 'batch', 'judged', 'pushing', 'permit', 'admitted', 'halt', 'listens', 'told', 'heard')
end

-- Unfinished tasks that were submitted with a deduplication key; each leaves when it ends, and comes back for a follow-up.
-- The TTL is for what a process of an older version leaves there.
local function dedup_key(t) return tenant_key(t.tenant, 'dedup:' .. t.f.dedup) end
local function hold_dedup_key(t)
  if not t.f.dedup then return end
  redis.call('ZADD', dedup_key(t), t.f.created_at, t.id)
  redis.call('EXPIRE', dedup_key(t), 7776000)                   -- 90 days
end
-- The gate that lets one run with a key go on at a time, as a line of `gates`.
local function dedup_gate(t) return t.f.dedup and 'cap 1 dedup:' .. t.tenant .. ':' .. t.f.dedup .. '\n' or '' end

local function retain(t)
  if t.f.dedup then redis.call('ZREM', dedup_key(t), t.id) end
  for _, name in ipairs({'', ':events', ':iterations', ':work'}) do redis.call('EXPIRE', t.key .. name, t.f.retain) end
  redis.call('ZADD', P .. 'expiring', NOW + tonumber(t.f.retain) * 1000, t.ref)
end
local function lift_retention(t)
  hold_dedup_key(t)
  for _, name in ipairs({'', ':events', ':iterations', ':work'}) do redis.call('PERSIST', t.key .. name) end
  redis.call('ZREM', P .. 'expiring', t.ref)
end

-- The events that a callback_url gets; a registered endpoint chooses.
local TO_CALLBACK = {['task.completed'] = 1, ['task.failed'] = 1, ['task.pr_created'] = 1}

-- Webhooks of what just happened, for everybody who wants to know. The event's id has the number of the newest
-- event, so it is the same however often this is told. members: JSON text that begins with a comma, or ''
local function announce(t, event, status, members)
  local f, to = t.f, subscribers(t.tenant, event)
  if TO_CALLBACK[event] then
    if f.callback_url then to[#to + 1] = {url = f.callback_url} end
    local number = 0                                            -- of those who share the task
    for url in string.gmatch(f.callbacks or '', '[^\n]+') do
      number = number + 1
      to[#to + 1] = {url = url, name = 'c' .. number}
    end
  end
  if #to == 0 then return end
  local body = '{"type":"' .. event .. '","task_id":"' .. t.id .. '","status":"' .. status .. '","iteration":' .. f.iteration
    .. members .. ',"labels":' .. (f.labels or '{}')
    .. (f.pr_url and ',"pr_url":' .. quote(f.pr_url) .. ',"pr_number":' .. f.pr_number or '')
    .. (f.trace_id and ',"trace_id":' .. quote(f.trace_id) or '')
    .. (TO_CALLBACK[event] and ',"finished_at":"' .. STAMP() .. '"' or '') .. ',"task_url":' .. quote(f.task_url or '') .. '}'
  post({id = 'evt_' .. t.id .. '_' .. f.seq, type = event, tenant = t.tenant, task = t.id, trace_id = f.trace_id,
    traceparent = f.traceparent, body = body}, to)
end

-- A run that ended, and the time since its first claim, if it had one; reason: why it failed, else ''
local function count_run(t, status, reason)
  count('tasks:' .. status)
  if reason ~= '' then count('failures:' .. reason) end
  if t.f.started_at then observe('duration:' .. status, DURATION, (NOW - tonumber(t.f.started_at)) / 1000) end
end

local works = {}         -- what runs leave; one table, because a script has room for 200 locals
-- What a run has left: where its tree is kept, its changes, its diff (bytes). All but home and truncated may be ''.
function works.record(t, changes, work, home, truncated, diff)
  if changes ~= '' then
    set(t, {changes = changes})
    row(t, {changes = changes})
  end
  if work ~= '' then
    set(t, {home = home, truncated = truncated})
    row(t, {work = work, home = home})
  end
  if diff ~= '' then redis.call('HSET', t.key .. ':work', t.f.iteration, diff) end
end
-- The diff of a retried iteration is of the run before, which a cancel may put back, until this run records its own.
function works.put_aside(t)
  if t.f.kind ~= 'retry' or redis.call('HGET', t.key .. ':iterations', t.f.iteration .. '.work') then return end
  local old = redis.call('HGET', t.key .. ':work', t.f.iteration)
  if old then redis.call('HSET', t.key .. ':work', t.f.iteration .. '.aside', old) end
end
function works.put_back(t)
  local aside = redis.call('HGET', t.key .. ':work', t.f.iteration .. '.aside')
  if aside then
    redis.call('HSET', t.key .. ':work', t.f.iteration, aside)
    redis.call('HDEL', t.key .. ':work', t.f.iteration .. '.aside')
  elseif redis.call('HGET', t.key .. ':iterations', t.f.iteration .. '.work') then
    redis.call('HDEL', t.key .. ':work', t.f.iteration)
  end
end
-- Once this run is over, that one does not count any more.
function works.drop_old(t)
  if t.f.kind ~= 'retry' then return end
  if not redis.call('HGET', t.key .. ':iterations', t.f.iteration .. '.work') then
    redis.call('HDEL', t.key .. ':work', t.f.iteration)
  end
  redis.call('HDEL', t.key .. ':work', t.f.iteration .. '.aside')
end

-- Nothing of a run stays but its record.
local function end_run(t)
  clear(t, 'cancel', 'pause', 'ran', 'ran_usage', 'ran_unpriced', 'prev', 'since', 'strays', 'waited', 'lost_work', 'pr_options')
  save(t)
end
-- The last step of a run: the next one, when a directive waits to be told, or a record that stays for `retain` seconds.
-- Returns the state after.
local begin_next                                                -- of restore: the task as it is then, or nil
local function close_run(t)
  end_run(t)
  local follower = begin_next(t)
  if follower then return follower.f.status end
  retain(t)
  redis.call('PUBLISH', P .. 'task:' .. t.id .. ':done', '{"task_id":"' .. t.id .. '","status":"' .. t.f.status
    .. '","changes_summary":' .. (t.f.changes or 'null') .. '}')
  return t.f.status
end

local function failure_of(reason, message, is_letter)
  return '{"reason":' .. quote(reason) .. ',"message":' .. quote(message) .. ',"retryable":false,"detail":'
    .. (is_letter and '{"dead_letter":true}' or 'null') .. '}'
end
-- The final event of a run that failed, its webhook and its counters.
local function tell_failed(t, reason, message, failure, is_letter)
  local members = '"error":' .. quote(message) .. ',"failure":' .. failure
  emit(t, 'system', 'task_failed', '{' .. members .. ',"iteration":' .. t.f.iteration .. '}')
  announce(t, 'task.failed', 'failed', ',' .. members .. (is_letter and ',"dead_letter":true' or ''))
  count_run(t, 'failed', reason)
end
-- End a run as failed for a reason that no worker reported.
local function fail_run(t, reason, message, is_letter)
  local failure = failure_of(reason, message, is_letter)
  set_state(t, 'failed', because(reason))
  set(t, {failure = failure, finished_at = NOW})
  works.drop_old(t)
  tell_failed(t, reason, message, failure, is_letter)
  if is_letter then add_letter(t) end
  close_run(t)
end

-- Give a claimed task back to the queued state it came from; the caller puts it where it waits, unless this returns
-- true: a pause was asked for, so it is paused now. What the attempt has used stays in the usage of all runs.
local function give_back(t, reason)
  note_attempt(t, reason)
  if t.f.spent then
    clear(t, 'unpriced')
    set(t, {usage = t.f.ran_usage or t.f.no_usage, unpriced = t.f.ran_unpriced})
  end
  release(t)
  if t.f.pause and t.f.kind ~= 'publish' then                   -- which a script that knows no pause may have left there
    become_paused(t)
    return true
  end
  if t.f.kind ~= 'publish' then set_state(t, queued_state(t), because(reason)) end
end

-- Take a task that is erased or expired out of every index.
local function forget(ref)
  local tenant, id = split(ref)
  redis.call('ZREM', P .. 'expiring', ref)
  redis.call('ZREM', P .. 'dead', ref)
  redis.call('ZREM', P .. 'directed', ref)
  redis.call('ZREM', tenant_key(tenant, 'index'), id)
  for state in pairs(FINISHED) do redis.call('ZREM', tenant_key(tenant, 'state:' .. state), id) end
end
