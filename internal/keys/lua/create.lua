-- CREATE: register a key under a name that is free.
-- KEYS: 1 prefix of all keys
-- ARGV: 1 tenant, 2 name, 3 operation id, 4 most keys of a tenant, then pairs field, value of the record
-- -> {'ok', created ms} | {'exists'} | {'full'}
local P, tenant, name, op = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local key, index = P .. 'tenant:' .. tenant .. ':key:' .. name, P .. 'tenant:' .. tenant .. ':keys'
local known = redis.call('HMGET', key, 'op', 'created_at')
if known[1] == op then return {'ok', tonumber(known[2])} end    -- the same call, repeated by the client library
if known[1] then return {'exists'} end
if redis.call('ZCARD', index) >= tonumber(ARGV[4]) then return {'full'} end
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local fields = {'op', op, 'name', name, 'created_at', now}
for i = 5, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', key, unpack(fields))
redis.call('ZADD', index, now, name)
return {'ok', tonumber(now)}
