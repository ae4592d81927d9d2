#!lua flags=allow-oom
-- CALM: an operator ends the level of a scope; it begins anew, without signals.
-- ARGV: 1 scope, 2 operation id
-- -> {'ok'} | {'missing'} it has no level
local done = level_key(ARGV[1]) .. ':released'
if redis.call('GET', done) == ARGV[2] then return {'ok'} end    -- repeated by the client library
if not calm(ARGV[1], 'operator') then return {'missing'} end
redis.call('SET', done, ARGV[2], 'EX', 60)
return {'ok'}
