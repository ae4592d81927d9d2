-- INSTRUCT, RETRY and PUBLISH keep the finished document in `prev`, so that what was delivered can stay
-- delivered: a run that is cancelled before it is claimed, and a create-pr that fails, put it back.

-- What no run takes back: what was given at creation, and what only counts on.
local LASTING = {id = 1, tenant = 1, created_at = 1, repo_url = 1, prompt = 1, priority = 1, labels = 1, config = 1,
  provider_key = 1, callback_url = 1, task_url = 1, access_token = 1, ai_api_key = 1, mcp_servers = 1, retain = 1, no_usage = 1,
  usage_total = 1, unpriced_total = 1, spent = 1, seq = 1, iterations_used = 1, request = 1, cancel_op = 1, pause_op = 1,
  resume_op = 1, directive_op = 1, prev = 1, pr_heads = 1, dedup = 1, callbacks = 1, events_trimmed = 1}
-- What RETRY erases from the row of its iteration. Field `op` stays: a repeated FINISH is known by it.
local ROW = {'status', 'result', 'failure', 'changes', 'usage', 'unpriced', 'work', 'home', 'started_at', 'ended_at'}

local function kept_row(t)
  local names, kept = {}, {}
  for i, name in ipairs(ROW) do names[i] = t.f.iteration .. '.' .. name end
  local found = redis.call('HMGET', t.key .. ':iterations', unpack(names))
  for i, name in ipairs(ROW) do kept[name] = found[i] or nil end
  return kept
end

-- Until another run begins, the document speaks for the newest iteration; then its row does.
local function close_row(t)
  local f = t.f
  if f.status == 'pr_created' then return end                   -- closed when its create-pr began
  row(t, {status = f.status, result = f.result, failure = f.failure, usage = f.usage, unpriced = f.unpriced, started_at = f.started_at,
    ended_at = f.finished_at})
end

-- Begin a run of a finished task: its document and, for a retry, its row are kept, its counters start again.
-- traceparent: of the request that asks for it; without one the run stays in the trace of the run before
local function begin_run(t, kind, request, gates, traceparent)
  clear(t, 'pause', 'ran', 'ran_usage', 'ran_unpriced')         -- left by a script that knows no pause
  local kept = {doc = {}, row = kind == 'retry' and kept_row(t) or {}}
  if kind ~= 'retry' then close_row(t) end
  kept.dead = redis.call('ZSCORE', P .. 'dead', t.ref) or nil
  for name, value in pairs(t.f) do
    if not LASTING[name] then kept.doc[name] = value end
  end
  if kind == 'instruct' then kept.doc.config = t.f.config end   -- which an instruction may change
  if kind ~= 'publish' then gates = gates .. dedup_gate(t) end
  lift_retention(t)
  redis.call('ZADD', P .. 'tenants', NOW, t.tenant)
  redis.call('ZREM', P .. 'dead', t.ref)
  set(t, {prev = cjson.encode(kept), kind = kind, request = request, gates = gates, since = NOW, attempt = 0, lost = 0, retries = 0})
  clear(t, 'quota_waits', 'started_at', 'finished_at', 'pr_error', 'pr_reason', 'attempts', 'granted_at')
  if (traceparent or '') ~= '' then set(t, {traceparent = traceparent, trace_id = string.sub(traceparent, 4, 35)}) end
end

-- Queue a follow-up of a finished task. config: as JSON from now on, or '': as it is
local function begin_instruct(t, request, prompt, gates, traceparent, config)
  local number = tonumber(t.f.iterations_used or t.f.iteration) + 1  -- that of a cancelled follow-up is never used again
  begin_run(t, 'instruct', request, gates, traceparent)
  set(t, {current_prompt = prompt, iteration = number, iterations_used = number, usage = t.f.no_usage})
  if config ~= '' then set(t, {config = config}) end
  clear(t, 'result', 'failure', 'unpriced')
  row(t, {prompt = prompt})
  set_state(t, 'awaiting_instruction')
  announce(t, 'task.awaiting_instruction', 'awaiting_instruction', '')
  push(t, false)
end
-- One run per directive: each has its prompt, its row and its end.
begin_next = function(ended)
  local directive = directives.pop(ended)
  if not directive then return nil end
  local t = load(ended.ref)
  begin_instruct(t, directive.id, directive.text, directive.gates, directive.traceparent, '')
  directives.tell(t, directive.id, 'next')
  save(t)
  return t
end

-- Queue a create-pr of a finished task, in its own lane and without gates: it never waits behind agents.
local function begin_publish(t, request, options, traceparent)
  begin_run(t, 'publish', request, '', traceparent)
  set(t, {pr_options = options})
  set_state(t, 'creating_pr')
  push(t, false)
  save(t)
end

local function put_document_back(t)
  local kept = cjson.decode(t.f.prev)
  if t.f.kind == 'retry' then
    for _, name in ipairs(ROW) do row(t, {[name] = kept.row[name] or false}) end
    works.put_back(t)
  end
  for name in pairs(t.f) do
    if not LASTING[name] and not kept.doc[name] then clear(t, name) end
  end
  set(t, kept.doc)
  if kept.dead then redis.call('ZADD', P .. 'dead', kept.dead, t.ref) end
end

local function status_before(t) return cjson.decode(t.f.prev).doc.status end

-- End a create-pr run without a pull request: everything as before, with the reason. op: of the report, if any. Returns
-- the state after.
local function fail_publish(t, reason, message, op)
  count('pull_requests:failed')
  set_state(t, status_before(t), because(reason))
  put_document_back(t)
  set(t, {pr_error = message, pr_reason = reason, op = op})
  emit(t, 'git', 'pr_failed', '{"error":' .. quote(message) .. ',"reason":' .. quote(reason) .. '}')
  return close_run(t)
end

-- End a run for which no worker speaks any more, because it was cancelled.
local function cancel_run(t)
  directives.drop(t)
  emit(t, 'system', 'task_cancelled', '{}')
  if t.f.kind == 'publish' then fail_publish(t, 'canceled', CANCELLED) else fail_run(t, 'canceled', CANCELLED) end
end

-- What the document says of the newest work, when a follow-up that was paused has recorded it.
local function paused_work(t)
  if t.f.kind ~= 'instruct' or not redis.call('HGET', t.key .. ':iterations', t.f.iteration .. '.work') then return {} end
  return {home = t.f.home, truncated = t.f.truncated, changes = t.f.changes}
end

-- End what is queued or paused, because it was cancelled. A follow-up keeps its row, as failed, with the work it had
-- recorded at a pause; a retry gets back the old one.
local function cancel_queued(t)
  withdraw(t)
  if t.f.kind == 'publish' or not t.f.prev then return cancel_run(t) end
  local failure = failure_of('canceled', CANCELLED)
  directives.drop(t)
  emit(t, 'system', 'task_cancelled', '{}')
  set_state(t, status_before(t), because('canceled'))
  row(t, {status = 'failed', failure = failure, usage = t.f.usage, unpriced = t.f.unpriced, started_at = t.f.started_at,
    ended_at = NOW})
  tell_failed(t, 'canceled', CANCELLED, failure)
  local work = paused_work(t)
  put_document_back(t)
  set(t, work)
  close_run(t)
end

-- End what is queued or paused, ask the worker of what runs; for what is neither finished nor pushing. Returns whether it ended.
local function cancel_or_ask(t)
  if t.f.at or t.f.status == 'paused' then
    cancel_queued(t)
    return true
  end
  set(t, {cancel = 1})
  save(t)
  redis.call('PUBLISH', P .. 'control', 'cancel ' .. t.ref)
  return false
end
