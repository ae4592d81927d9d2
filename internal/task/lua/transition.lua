#!lua flags=allow-oom
-- TRANSITION: a claimed task goes on (cloning -> running), or a publisher begins to push.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 new state or 'pushing', then pairs field, value to record
-- -> {'ok'} | {'dup'} | {'fenced'} | {'cancelled'} a cancel was accepted: end the run | {'illegal', state}
local ref, h = ARGV[1], load(ARGV[1])
if not h.token or h.token ~= ARGV[2] then return {'fenced'} end
if h.op == ARGV[3] then return {'dup'} end
if h.cancel then return {'cancelled'} end
local fields = {op = ARGV[3]}
for i = 5, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
if ARGV[4] == 'pushing' then
  if h.kind ~= 'publish' then return {'illegal', h.status} end
  fields.pushing = 1
elseif not (NEXT[h.status] and NEXT[h.status][ARGV[4]]) or FINISHED[ARGV[4]] then
  return {'illegal', h.status}
end
set(ref, h, fields)
if ARGV[4] ~= 'pushing' then set_state(ref, h, ARGV[4]) end
return {'ok'}
