-- RETRY: queue the same iteration of a failed task again, from the work before it.
-- ARGV: 1 ref, 2 operation id, 3 gates
-- -> {'ok', iteration, state} | {'illegal', state} | {'missing'}
local ref = ARGV[1]
local h = load(ref)
if not h.status then return {'missing'} end
if h.request == ARGV[2] then return {'ok', tonumber(h.iteration), h.status} end
if h.status ~= 'failed' then return {'illegal', h.status} end
lift_retention(ref)
keep_document(ref, h)
local home, truncated = '', '0'                                  -- where the work before this iteration lies
for number = tonumber(h.iteration) - 1, 1, -1 do
  local found = redis.call('HMGET', task_key(ref) .. ':iterations', number .. '.home', number .. '.work')
  if found[2] then
    home = found[1] or ''
    truncated = string.find(found[2], '"truncated":true', 1, true) and '1' or '0'
    break
  end
end
set(ref, h, {request = ARGV[2], kind = 'retry', gates = ARGV[3], home = home, truncated = truncated, attempt = 0, lost = 0, retries = 0,
  usage = h.no_usage})
clear(ref, h, 'result', 'failure', 'started_at', 'finished_at', 'op')
for _, name in ipairs({'result', 'failure', 'changes', 'usage', 'work', 'home', 'started_at', 'ended_at'}) do
  redis.call('HDEL', task_key(ref) .. ':iterations', h.iteration .. '.' .. name)
end
set_state(ref, h, queued_state(h))
push(ref, h, false)
return {'ok', tonumber(h.iteration), h.status}
