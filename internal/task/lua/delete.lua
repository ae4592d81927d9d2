#!lua flags=allow-oom
-- DELETE: erase a finished task and everything Redis has of it.
-- ARGV: 1 ref
-- -> {'ok'} | {'illegal', state} | {'missing'}
local ref = ARGV[1]
local status = redis.call('HGET', task_key(ref), 'status')
if not status then return {'missing'} end
if not FINISHED[status] then return {'illegal', status} end
local key = task_key(ref)
redis.call('UNLINK', key, key .. ':events', key .. ':iterations', key .. ':work')
forget(ref)
return {'ok'}
