#!lua flags=allow-oom
-- FINISH: end an agent run: tail, state, final event, outbox entry, record, in one step.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 completed|failed|dead (failed, its repeats used up), 5 failure reason or '', 6 failure as JSON or '',
--       7 result text, 8 changes as JSON or '', 9-14 what the attempt has used, as `spend` has it,
--       or all '' for what was told while it ran, 15 recorded work as JSON or '', 16 home of the work or '',
--       17 '1' when only that home has the work, 18 stored diff (bytes) or '', 19 data of the final event,
--       20 members of the webhook body (JSON text that begins with a comma), 21 options of the pull request to make
--       next (JSON) or '', then triples type, event, data of the run's last events
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} a cancel was accepted: report that
--    instead | {'illegal', state}
-- Only the holder of the claim changes the usage of all runs, so it adds it up itself.
local t, op, to, reason, diff = read(ARGV[1], 'status', 'kind', 'token', 'cancel', 'iteration', 'iterations_used', 'seq',
  'worker', 'gates', 'admitted', 'permit', 'retain', 'started_at', 'changes', 'callback_url', 'labels', 'pr_url', 'pr_number',
  'trace_id', 'traceparent', 'task_url', 'callbacks', 'dedup', 'attempt', 'attempts', 'granted_at', 'claim', 'spent', 'usage', 'heard'),
  ARGV[3], ARGV[4], ARGV[5], ARGV[18]
local f, is_letter = t.f, to == 'dead'
if is_letter then to = 'failed' end

-- Its operation id stands in the row it wrote, so a repeat is known also after a follow-up was queued.
local function is_repeat()
  local number = tonumber(f.iterations_used or f.iteration)
  local names = {}
  for n = number, math.max(1, number - 15), -1 do names[#names + 1] = n .. '.op' end
  for _, known in ipairs(redis.call('HMGET', t.key .. ':iterations', unpack(names))) do
    if known == op then return true end
  end
  return false
end

if not f.status then return {'fenced', ''} end
if f.token ~= ARGV[2] then return {is_repeat() and 'dup' or 'fenced', f.status} end
if f.cancel and reason ~= 'canceled' then return {'cancelled'} end
if f.kind == 'publish' or not FINISHED[to] or not may_follow(f.status, to) then return {'illegal', f.status} end

local function record()
  if ARGV[9] ~= '' then spend(t, 9) end
  set(t, {finished_at = NOW})
  row(t, {op = op})
  if ARGV[6] ~= '' then set(t, {failure = ARGV[6]}) end
  if ARGV[7] ~= '' then set(t, {result = ARGV[7]}) end
  works.record(t, ARGV[8], ARGV[15], ARGV[16], ARGV[17], diff)
  if diff == '' then works.drop_old(t) elseif f.kind == 'retry' then
    redis.call('HDEL', t.key .. ':work', f.iteration .. '.aside')
  end
end

local tail = {}
for i = 22, #ARGV do tail[#tail + 1] = ARGV[i] end
emit_all(t, tail)
if reason == 'canceled' then directives.drop(t) else directives.settle(t) end
record()
set_state(t, to, reason ~= '' and because(reason) or nil)
if to == 'completed' then emit(t, 'result', 'task_completed', ARGV[19]) else emit(t, 'system', 'task_failed', ARGV[19]) end
announce(t, 'task.' .. to, to, ARGV[20])
count_run(t, to, reason)
if to == 'failed' then note_attempt(t, reason) end
if is_letter then add_letter(t) end
release(t)
local is_directed = redis.call('EXISTS', directives.key(t)) == 1
if to == 'completed' and ARGV[21] ~= '' and not is_directed then  -- the next run begins in the same step: nobody is told `done`
  end_run(t)
  begin_publish(load(ARGV[1]), op, ARGV[21])
  return {'ok', 'creating_pr'}
end
return {'ok', close_run(t)}
