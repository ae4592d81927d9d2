-- INSTRUCT: queue a follow-up of a finished task.
-- ARGV: 1 ref, 2 operation id, 3 prompt, 4 gates, 5 traceparent or '', 6 config as JSON from now on, or '': as it is
-- -> {'ok', iteration} | {'illegal', state} | {'missing'}
local t = load(ARGV[1])
local f = t.f
if not f.status then return {'missing'} end
if f.request == ARGV[2] then return {'ok', tonumber(f.iteration)} end
if not FINISHED[f.status] then return {'illegal', f.status} end
begin_instruct(t, ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
save(t)
return {'ok', tonumber(f.iteration)}
