-- INSTRUCT: queue a follow-up of a finished task.
-- ARGV: 1 ref, 2 operation id, 3 prompt, 4 gates, 5 traceparent or '', 6 config as JSON from now on, or '': as it is
-- -> {'ok', iteration} | {'illegal', state} | {'missing'}
local t = load(ARGV[1])
local f = t.f
if not f.status then return {'missing'} end
if f.request == ARGV[2] then return {'ok', tonumber(f.iteration)} end
if not FINISHED[f.status] then return {'illegal', f.status} end
local number = tonumber(f.iterations_used or f.iteration) + 1   -- that of a cancelled follow-up is never used again
begin_run(t, 'instruct', ARGV[2], ARGV[4], ARGV[5])
set(t, {current_prompt = ARGV[3], iteration = number, iterations_used = number, usage = f.no_usage})
if ARGV[6] ~= '' then set(t, {config = ARGV[6]}) end
clear(t, 'result', 'failure', 'unpriced')
row(t, {prompt = ARGV[3]})
set_state(t, 'awaiting_instruction')
announce(t, 'task.awaiting_instruction', 'awaiting_instruction', '')
push(t, false)
save(t)
return {'ok', number}
