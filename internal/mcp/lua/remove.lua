#!lua flags=allow-oom
-- REMOVE: forget a server.
-- KEYS: 1 the registry, 2 how many servers the tenant has in all of its registries, 3 the mark of this operation
-- ARGV: 1 name, 2 s for which a repeated call is known
-- -> 'ok' | 'missing'
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
  if redis.call('DECR', KEYS[2]) <= 0 then redis.call('DEL', KEYS[2]) end
  redis.call('SET', KEYS[3], '1', 'EX', ARGV[2])
  return 'ok'
end
return redis.call('EXISTS', KEYS[3]) == 1 and 'ok' or 'missing'
