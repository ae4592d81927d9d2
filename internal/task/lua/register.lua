#!lua flags=allow-oom
-- REGISTER: a worker starts (or, with '1', stops in good order).
-- ARGV: 1 worker, 2 home, 3 registry record as JSON, 4 s a silent worker stays known, 5 '1' when it leaves
-- -> number of tasks that waited for this home and are back in its lists
local worker, home = ARGV[1], ARGV[2]
if ARGV[5] == '1' then
  redis.call('DEL', P .. 'worker:' .. worker)
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('ZREM', P .. 'home:' .. home, worker)
  return 0
end
redis.call('HSET', P .. 'worker:' .. worker, 'id', worker, 'home', home, 'info', ARGV[3], 'seen', NOW)
redis.call('EXPIRE', P .. 'worker:' .. worker, ARGV[4])
redis.call('ZADD', P .. 'workers', NOW, worker)
redis.call('ZADD', P .. 'home:' .. home, NOW, worker)
redis.call('EXPIRE', P .. 'home:' .. home, ARGV[4])
local away = P .. 'home:' .. home .. ':away'
local back = 0
for _, ref in ipairs(redis.call('ZRANGE', away, 0, 255)) do
  redis.call('ZREM', away, ref)
  local h = load(ref)
  if h.at == 'home ' .. home then
    push(ref, h, true)
    back = back + 1
  end
end
return back
