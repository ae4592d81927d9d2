#!lua flags=allow-oom
-- DISCARD: a dead letter leaves the list; its task stays failed.
-- ARGV: 1 ref, 2 operation id
-- -> {'ok'} | {'missing'} there is no such letter
local t = read(ARGV[1], 'status', 'request')
if redis.call('ZREM', P .. 'dead', t.ref) == 0 then
  return {t.f.request == ARGV[2] and 'ok' or 'missing'}         -- repeated by the client library
end
if t.f.status then
  set(t, {request = ARGV[2]})
  save(t)
end
return {'ok'}
