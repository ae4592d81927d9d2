-- PUBLISH: queue a create-pr of a finished task, in its own lane. It has no gates: it never waits behind agents.
-- ARGV: 1 ref, 2 operation id, 3 options as JSON
-- -> {'ok'} | {'illegal', state} | {'no_work'} nothing recorded that could be published | {'missing'}
local t = load(ARGV[1])
local f = t.f
if not f.status then return {'missing'} end
if f.request == ARGV[2] then return {'ok'} end
if not FINISHED[f.status] then return {'illegal', f.status} end
if (f.home or '') == '' then return {'no_work'} end
begin_run(t, 'publish', ARGV[2], '')
set(t, {pr_options = ARGV[3]})
set_state(t, 'creating_pr')
push(t, false)
save(t)
return {'ok'}
