#!lua flags=allow-oom
-- CANCEL: end what is queued at once; ask the worker of what runs.
-- ARGV: 1 ref
-- -> {'ok', state} ended, the state it is in now | {'cancelling', state} asked | {'illegal', state} | {'missing'}
local ref = ARGV[1]
local h = load(ref)
if not h.status then return {'missing'} end
if FINISHED[h.status] or h.pushing then return {'illegal', h.status} end
if h.at then
  cancel_queued(ref, h)
  return {'ok', h.status}
end
set(ref, h, {cancel = 1})
redis.call('PUBLISH', P .. 'control', 'cancel ' .. ref)
return {'cancelling', h.status}
