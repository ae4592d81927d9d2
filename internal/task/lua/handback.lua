#!lua flags=allow-oom
-- HANDBACK: a worker gives a claimed task back; it takes no life.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 ms until it may run again (0: now, at the head of its list),
--       5 reason, 6 '1' when this counts as a repeat of the run; then 7-12 what the attempt has used, as `spend`
--       has it, or nothing for what was told while it ran
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} end the run instead
local t, op, delay = load(ARGV[1]), ARGV[3], tonumber(ARGV[4])
local f = t.f
if not f.status then return {'fenced', ''} end
if f.op == op then return {'dup', f.status} end
if f.token ~= ARGV[2] then return {'fenced', f.status} end
if f.cancel then return {'cancelled'} end
if ARGV[7] then spend(t, 7) end
local is_paused = give_back(t, ARGV[5])
set(t, {op = op, retries = f.retries + ARGV[6]})
count((ARGV[6] == '1' and 'retries:' or 'handbacks:') .. ARGV[5])
if not is_paused and delay > 0 then
  redis.call('ZADD', P .. 'due', NOW + delay, t.ref)
  wait_for(t, 'due', 'retry', NOW + delay)
elseif not is_paused then
  push(t, true)
end
save(t)
return {'ok', f.status}
