#!lua flags=allow-oom
-- ADMIT: pass the gates that only the worker of a claimed task knows, or wait in front of them.
-- ARGV: 1 ref, 2 token, 3 operation id, then the gates of each candidate as lines, in order of preference
-- -> {'ok', n} all gates of candidate n (from 0) are taken | {'parked'} given back, uncharged; it waits at the gate that
--    opens first | {'fenced'} | {'cancelled'} a cancel was accepted: end the run
local t, op = load(ARGV[1]), ARGV[3]
local f = t.f
if f.op == op then
  if f.token == ARGV[2] and f.admitted then return {'ok', tonumber(string.match(f.admitted, '^%d+'))} end
  return {'parked'}
end
if not f.token or f.token ~= ARGV[2] then return {'fenced'} end
if f.cancel then return {'cancelled'} end

-- The gate of a candidate that opens last, and when (ms; never, as far as anybody knows: math.huge); nil: all are open.
-- One that somebody is trying counts as now: its answer comes before the end of any other wait.
local function last_to_open(gates, limits)
  local last, latest
  for i, gate in ipairs(gates) do
    local room, opens = room_of(gate, limits[i])
    if room < gate.cost then
      opens = opens or gate.half_open and NOW or math.huge
      if not last or opens > latest then last, latest = gate.key, opens end
    end
  end
  return last, latest
end

local wait_at, soonest
for n = 4, #ARGV do
  local gates = parse_gates(ARGV[n])
  local limits = limits_of(gates)
  local closed, opens = last_to_open(gates, limits)
  if not closed then
    take_gates(t, gates, limits, f.token)
    set(t, {op = op, admitted = (n - 4) .. '\n' .. ARGV[n]})
    save(t)
    return {'ok', n - 4}
  end
  if not wait_at or opens < soonest then wait_at, soonest = closed, opens end
end
for _, gate in ipairs(gates_of(t)) do                           -- what did not begin is no start of anybody's minute
  if gate.kind == 'rate' then redis.call('ZREM', gate_key(gate.key, 'starts'), f.token) end
end
local reason = wait_reason(wait_at)
set(t, {op = op})
if not give_back(t, reason) then park(t, wait_at, soonest > NOW and soonest < math.huge and soonest or nil) end
save(t)
count('handbacks:' .. reason)
return {'parked'}
