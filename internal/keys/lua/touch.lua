#!lua flags=allow-oom
-- TOUCH: remember that a key was used; one that was erased meanwhile stays erased.
-- KEYS: 1 the key's record
-- -> 1 written | 0 there is no such key
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'used_at', string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
return 1
