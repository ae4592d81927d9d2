#!lua flags=allow-oom
-- REMOVE: forget one token; the name stays when it stands for a newer one by now.
-- KEYS: 1 the token (hash), 2 the tenant's tokens by name (hash)   ARGV: 1 name, 2 hash of the token
-- -> 1
redis.call('DEL', KEYS[1])
if redis.call('HGET', KEYS[2], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[1]) end
return 1
