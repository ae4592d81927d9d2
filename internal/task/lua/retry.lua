-- RETRY: queue the same iteration of a failed task again, from the work before it.
-- ARGV: 1 ref, 2 operation id, 3 gates, 4 traceparent or '', 5 '1' when it is to be a dead letter
-- -> {'ok', iteration, state} | {'illegal', state} | {'missing'}, also when it is no dead letter
local t = load(ARGV[1])
local f = t.f
if not f.status then return {'missing'} end
if f.request == ARGV[2] then return {'ok', tonumber(f.iteration), f.status} end
if ARGV[5] == '1' and not redis.call('ZSCORE', P .. 'dead', t.ref) then return {'missing'} end
if f.status ~= 'failed' then return {'illegal', f.status} end

-- The newest recorded work before this iteration: where it lies, and what it had changed.
local function work_before()
  for number = tonumber(f.iteration) - 1, 1, -1 do
    local found = redis.call('HMGET', t.key .. ':iterations', number .. '.work', number .. '.home', number .. '.changes')
    if found[1] then return cjson.decode(found[1]), found[2], found[3] end
  end
end

local work, home, changes = work_before()
begin_run(t, 'retry', ARGV[2], ARGV[3], ARGV[4])
for _, name in ipairs(ROW) do row(t, {[name] = false}) end
set(t, {home = home or '', truncated = work and work.truncated and 1 or 0, usage = f.no_usage})
clear(t, 'result', 'failure', 'changes', 'unpriced')
if changes then set(t, {changes = changes}) end
set_state(t, queued_state(t))
if f.status == 'awaiting_instruction' then announce(t, 'task.awaiting_instruction', f.status, '') end
push(t, false)
save(t)
return {'ok', tonumber(f.iteration), f.status}
