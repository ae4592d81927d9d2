#!lua flags=allow-oom
-- DELETE: erase a finished task and everything Redis has of it.
-- ARGV: 1 ref, 2 operation id
-- -> {'ok'} | {'illegal', state} | {'missing'}
local key = task_key(ARGV[1])
local status = redis.call('HGET', key, 'status')
if not status then
  return {redis.call('GET', key .. ':deleted') == ARGV[2] and 'ok' or 'missing'}  -- repeated by the client library
end
if not FINISHED[status] then return {'illegal', status} end
redis.call('UNLINK', key, key .. ':events', key .. ':iterations', key .. ':work', key .. ':directives')
erase_deliveries(split(ARGV[1]))
redis.call('SET', key .. ':deleted', ARGV[2], 'EX', 60)
forget(ARGV[1])
redis.call('PUBLISH', P .. 'control', 'erased ' .. ARGV[1])
return {'ok'}
