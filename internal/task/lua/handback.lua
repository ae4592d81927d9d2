#!lua flags=allow-oom
-- HANDBACK: a worker gives a claimed task back; it takes no life.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 ms until it may run again (0: now, at the head of its list),
--       5 reason, 6 what it counts as: repeat|quota (a wait for a provider's) or '', 7 gate to wait at while it is shut,
--       or ''; then 8-13 what the attempt has used, as `spend` has it, or nothing for what was told while it ran
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} end the run instead
local COUNTED = {['repeat'] = 'retries:', quota = 'quota_waits:'}
local t, op, delay = load(ARGV[1]), ARGV[3], tonumber(ARGV[4])
local f = t.f
if not f.status then return {'fenced', ''} end
if f.op == op then return {'dup', f.status} end
if f.token ~= ARGV[2] then return {'fenced', f.status} end
if f.cancel then return {'cancelled'} end
if ARGV[8] then spend(t, 8) end
local is_paused = give_back(t, ARGV[5])
set(t, {op = op})
if ARGV[6] == 'repeat' then set(t, {retries = f.retries + 1}) end
if ARGV[6] == 'quota' then set(t, {quota_waits = (f.quota_waits or 0) + 1}) end
count((COUNTED[ARGV[6]] or 'handbacks:') .. ARGV[5])
local gate, room, opens = ARGV[7], math.huge, nil
if gate ~= '' then room, opens = room_of({key = gate, kind = kind_of(gate), cost = 1}) end
if is_paused then                                               -- it waits for somebody already
elseif room < 1 then
  park(t, gate, opens)
elseif delay > 0 then
  redis.call('ZADD', P .. 'due', NOW + delay, t.ref)
  wait_for(t, 'due', ARGV[6] == 'quota' and 'quota' or 'retry', NOW + delay)
else
  push(t, true)
end
save(t)
return {'ok', f.status}
