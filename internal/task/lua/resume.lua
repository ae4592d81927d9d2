-- RESUME: a paused task goes back to its queue, to the place of its age.
-- ARGV: 1 ref, 2 operation id
-- -> {'ok', state} | {'illegal', state} | {'missing'}
local t, op = load(ARGV[1]), ARGV[2]
local f = t.f
if not f.status then return {'missing'} end
if f.resume_op == op then return {'ok', f.status} end
if f.status ~= 'paused' then return {'illegal', f.status} end
set(t, {resume_op = op})
set_state(t, queued_state(t), because('resumed'))
emit(t, 'control', 'resumed', '{}')
push(t, 'age')
save(t)
return {'ok', f.status}
