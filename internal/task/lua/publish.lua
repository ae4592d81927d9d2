-- PUBLISH: queue a create-pr of a finished task.
-- ARGV: 1 ref, 2 operation id, 3 options as JSON, 4 traceparent or ''
-- -> {'ok'} | {'joined'} the same is under way | {'illegal', state} | {'no_work'} nothing recorded that could be
--    published | {'missing'}
local t = load(ARGV[1])
local f = t.f
if not f.status then return {'missing'} end
if f.request == ARGV[2] then return {'ok'} end
if f.status == 'creating_pr' and f.pr_options == ARGV[3] and not f.cancel then return {'joined'} end
if not FINISHED[f.status] then return {'illegal', f.status} end
if (f.home or '') == '' then return {'no_work'} end
begin_publish(t, ARGV[2], ARGV[3], ARGV[4])
return {'ok'}
