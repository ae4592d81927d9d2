#!lua flags=allow-oom
-- HANDBACK: a worker gives a claimed task back; it takes no life.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 ms until it may run again (0: now, at the head of its list),
--       5 reason, 6 '1' when this counts as a repeat of the run
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} end the run instead
local ref = ARGV[1]
local h = load(ref)
if not h.status then return {'fenced', ''} end
if h.op == ARGV[3] then return {'dup', h.status} end
if not h.token or h.token ~= ARGV[2] then return {'fenced', h.status} end
if h.cancel then return {'cancelled'} end
give_back(ref, h, ',"reason":' .. quote(ARGV[5]))
set(ref, h, {op = ARGV[3], retries = tonumber(h.retries or 0) + tonumber(ARGV[6])})
local delay = tonumber(ARGV[4])
if delay > 0 then
  redis.call('ZADD', P .. 'due', NOW + delay, ref)
  wait_for(ref, h, 'due', 'retry', NOW + delay)
else
  push(ref, h, true)
end
return {'ok', h.status}
