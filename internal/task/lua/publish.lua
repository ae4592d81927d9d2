-- PUBLISH: queue a create-pr of a finished task, in its own lane.
-- ARGV: 1 ref, 2 operation id, 3 options as JSON
-- -> {'ok'} | {'illegal', state} | {'no_work'} nothing recorded that could be published | {'missing'}
local ref = ARGV[1]
local h = load(ref)
if not h.status then return {'missing'} end
if h.request == ARGV[2] then return {'ok'} end
if not FINISHED[h.status] then return {'illegal', h.status} end
if not h.home or h.home == '' then return {'no_work'} end
lift_retention(ref)
keep_document(ref, h)
set(ref, h, {request = ARGV[2], kind = 'publish', gates = '', pr_options = ARGV[3], attempt = 0, lost = 0, retries = 0})
clear(ref, h, 'started_at', 'finished_at', 'op', 'pr_error')
set_state(ref, h, 'creating_pr')
push(ref, h, false)
return {'ok'}
