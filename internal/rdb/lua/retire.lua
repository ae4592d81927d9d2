#!lua flags=allow-oom
-- RETIRE: forget a master key that no stored secret is under any more.
-- KEYS: 1 prefix of all keys
-- ARGV: 1 id of the key, 2 how often processes had begun to seal with it when the counting began,
--       3 ms a silent process counts as live
-- -> 'ok' | 'active' a live process seals with it | 'again' one began to meanwhile: count again
local P, kid = KEYS[1], ARGV[1]
local kids = P .. 'encryption:kids'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local flat = redis.call('HGETALL', P .. 'encryption:processes')
for i = 2, #flat, 2 do
  local process = cjson.decode(flat[i])
  if process.active == kid and now - process.seen <= tonumber(ARGV[3]) then return 'active' end
end
local begun = redis.call('HGET', kids, kid)
if begun and begun ~= ARGV[2] then return 'again' end
redis.call('HDEL', kids, kid)
if redis.call('GET', P .. 'encryption:check') == kid then redis.call('DEL', P .. 'encryption:check') end
return 'ok'
