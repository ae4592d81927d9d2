#!lua flags=allow-oom
-- PAUSE: pause what is queued at once; ask the worker of what runs.
-- ARGV: 1 ref, 2 operation id
-- -> {'ok', 'paused'} | {'pausing', state} asked | {'illegal', state, or that it is being cancelled} | {'missing'}
local t, op = load(ARGV[1]), ARGV[2]
local f = t.f
if not f.status then return {'missing'} end
if f.pause_op == op then return {f.pause and 'pausing' or 'ok', f.status} end
if f.status == 'paused' then return {'ok', f.status} end
if f.cancel then return {'illegal', 'being cancelled'} end
if FINISHED[f.status] or f.kind == 'publish' then return {'illegal', f.status} end
set(t, {pause_op = op})
if f.at then
  pause_queued(t)
  save(t)
  return {'ok', f.status}
end
set(t, {pause = 1})
save(t)
redis.call('PUBLISH', P .. 'control', 'pause ' .. t.ref)
return {'pausing', f.status}
