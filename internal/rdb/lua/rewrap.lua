#!lua flags=allow-oom
-- REWRAP: put a sealed value under another master key, unless somebody changed it meanwhile.
-- KEYS: 1 the hash
-- ARGV: 1 field, 2 the value as it was read, 3 the new value
-- -> 1 it is the new value | 0 it is another one, or gone
local now = redis.call('HGET', KEYS[1], ARGV[1])
if now == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return 1
end
return now == ARGV[3] and 1 or 0
