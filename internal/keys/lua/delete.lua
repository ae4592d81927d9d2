#!lua flags=allow-oom
-- DELETE: erase a key.
-- KEYS: 1 prefix of all keys
-- ARGV: 1 tenant, 2 name, 3 operation id, 4 s that id is kept, so that a repeated call is known
-- -> 1 erased | 0 there is none
local P, tenant, name, op = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local key, index = P .. 'tenant:' .. tenant .. ':key:' .. name, P .. 'tenant:' .. tenant .. ':keys'
local gone = key .. ':deleted'
if redis.call('GET', gone) == op then return 1 end
redis.call('ZREM', index, name)
if redis.call('DEL', key) == 0 then return 0 end
redis.call('SET', gone, op, 'EX', ARGV[4])
return 1
