-- ADD: keep a new token, unless its name is taken.
-- KEYS: 1 prefix, 2 the token (hash), 3 the tenant's tokens by name (hash)
-- ARGV: 1 name, 2 hash of the token, 3 most tokens of a tenant, 4 ms when it expires or '', then fields and values
-- -> {'ok', ms when it was made} | {'taken'} | {'full'}
local P = KEYS[1]
local made = redis.call('HGET', KEYS[2], 'created_at')
if made then return {'ok', tonumber(made)} end            -- repeated by the client library
local known = redis.call('HGET', KEYS[3], ARGV[1])
if known and redis.call('EXISTS', P .. 'token:' .. known) == 1 then return {'taken'} end
if redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[3]) then
  local names = redis.call('HGETALL', KEYS[3])
  for i = 1, #names, 2 do                                 -- those that expired leave their names
    if redis.call('EXISTS', P .. 'token:' .. names[i + 1]) == 0 then redis.call('HDEL', KEYS[3], names[i]) end
  end
  if redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[3]) then return {'full'} end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[2], 'created_at', string.format('%d', now), unpack(ARGV, 5))
if ARGV[4] ~= '' then redis.call('PEXPIREAT', KEYS[2], ARGV[4]) end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
return {'ok', now}
