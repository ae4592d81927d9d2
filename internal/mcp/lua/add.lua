-- ADD: register a server under a name that is free.
-- KEYS: 1 the registry, 2 how many servers the tenant has in all of its registries
-- ARGV: 1 name, 2 its record, 3 how many servers a registry may hold, 4 how many all of the tenant's may
-- -> 'ok' it is there with this record, also by an earlier call | 'exists' another has the name | 'full'
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then return known == ARGV[2] and 'ok' or 'exists' end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
if tonumber(redis.call('GET', KEYS[2]) or 0) >= tonumber(ARGV[4]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('INCR', KEYS[2])
return 'ok'
