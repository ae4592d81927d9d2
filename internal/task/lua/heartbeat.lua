#!lua flags=allow-oom
-- HEARTBEAT: a worker lives; renew all its leases in one call.
-- ARGV: 1 worker, 2 home, 3 lease in ms, 4 registry record as JSON, then pairs ref, token
-- -> {now in ms, 1 when a task waits to run alone on this home or anywhere, else 0, then per pair: 1 renewed,
--     2 renewed and a cancel was asked for, 3 renewed and a pause was asked for, 4 renewed and a directive waits for its
--     agent, 5 renewed and its agent, repository or worker was stopped, 0 fenced}
-- A lease that ended but was not reaped is renewed.
local worker, home, lease = ARGV[1], ARGV[2], ARGV[3]
enter_registry(worker, home, ARGV[4])
contact(lease)
local out = {NOW, redis.call('EXISTS', P .. 'flows:alone', P .. 'flows:alone@' .. home) > 0 and 1 or 0}
for i = 5, #ARGV, 2 do
  local found = redis.call('HMGET', task_key(ARGV[i]), 'token', 'cancel', 'pause', 'halt', 'told')
  if found[1] == ARGV[i + 1] then
    redis.call('ZADD', P .. 'leases', 'XX', NOW + lease, ARGV[i])
    redis.call('PEXPIRE', P .. 'claim:' .. ARGV[i + 1], lease)
    out[#out + 1] = found[2] and 2 or found[3] and 3 or found[4] == found[1] and 5 or found[5] and 4 or 1
  else
    out[#out + 1] = 0
  end
end
return out
