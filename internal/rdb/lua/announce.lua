#!lua flags=allow-oom
-- ANNOUNCE: a live process says again which master keys it knows; the silent ones are forgotten.
-- KEYS: 1 prefix of all keys
-- ARGV: 1 process, 2 its record as JSON, '' when it leaves, 3 ms a silent process counts as live, 4 s the register is kept
-- -> number of processes in the register
local processes = KEYS[1] .. 'encryption:processes'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] == '' then
  redis.call('HDEL', processes, ARGV[1])
else
  local record = cjson.decode(ARGV[2])
  record.seen = now
  redis.call('HSET', processes, ARGV[1], cjson.encode(record))
  redis.call('EXPIRE', processes, ARGV[4])
end
local flat = redis.call('HGETALL', processes)
for i = 1, #flat, 2 do
  if now - cjson.decode(flat[i + 1]).seen > tonumber(ARGV[3]) then redis.call('HDEL', processes, flat[i]) end
end
return redis.call('HLEN', processes)
