#!lua flags=allow-oom
-- CANCEL: end what is queued or paused at once; ask the worker of what runs.
-- ARGV: 1 ref, 2 operation id
-- -> {'ok', state} ended, the state it is in now | {'cancelling', state} asked | {'illegal', state} | {'missing'}
local t, op = load(ARGV[1]), ARGV[2]
local f = t.f
if not f.status then return {'missing'} end
if f.cancel_op == op then return {f.cancel and 'cancelling' or 'ok', f.status} end
if FINISHED[f.status] or f.pushing then return {'illegal', f.status} end
set(t, {cancel_op = op})
return {cancel_or_ask(t) and 'ok' or 'cancelling', f.status}
