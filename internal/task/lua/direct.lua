-- DIRECT: say something to a task that is not finished.
-- ARGV: 1 ref, 2 id of the directive, 3 text, 4 gates of the run it would begin, 5 traceparent or ''
-- -> {'ok', state, 'running'|'next'} for the agent that runs, or for the next instruction | {'full', state} too many wait
--    | {'illegal', state, or that it is being cancelled} | {'missing'}
local t, id = load(ARGV[1]), ARGV[2]
local f = t.f
if not f.status then return {'missing'} end
local known, delivery = string.match(f.directive_op or '', '^(%S+) (%a+)$')
if known == id then return {'ok', f.status, delivery} end
for _, other in ipairs(directives.all(t)) do                    -- another one was said since
  if other.id == id then return {'ok', f.status, other.delivery} end
end
if f.cancel then return {'illegal', 'being cancelled'} end
if FINISHED[f.status] then return {'illegal', f.status} end
if redis.call('LLEN', directives.key(t)) >= directives.MOST then return {'full', f.status} end
delivery = f.claim and f.listens == f.claim and not f.pause and 'running' or 'next'
redis.call('RPUSH', directives.key(t),
  cjson.encode({id = id, delivery = delivery, text = ARGV[3], gates = ARGV[4], traceparent = ARGV[5]}))
redis.call('ZADD', P .. 'directed', 'NX', NOW, t.ref)
set(t, {directive_op = id .. ' ' .. delivery})
if delivery == 'running' then set(t, {told = 1}) end
directives.tell(t, id, delivery)
save(t)
if delivery == 'running' then redis.call('PUBLISH', P .. 'control', 'directive ' .. t.ref) end
return {'ok', f.status, delivery}
