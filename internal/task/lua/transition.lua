#!lua flags=allow-oom
-- TRANSITION: a claimed task begins to run, or a publisher begins to push.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 running|pushing, then pairs field, value to record
-- -> {'ok'} | {'dup'} | {'fenced'} | {'cancelled'} a cancel was accepted: end the run | {'illegal', state}
local t, to = read(ARGV[1], 'status', 'kind', 'token', 'op', 'cancel', 'seq'), ARGV[4]
local f = t.f
if not f.token or f.token ~= ARGV[2] then return {'fenced'} end
if f.op == ARGV[3] then return {'dup'} end
if f.cancel then return {'cancelled'} end
local legal = to == 'pushing' and f.kind == 'publish' or to == 'running' and may_follow(f.status, to)
if not legal then return {'illegal', f.status} end
local fields = {op = ARGV[3]}
for i = 5, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
set(t, fields)
if to == 'pushing' then set(t, {pushing = 1}) else set_state(t, to) end
if fields.clone_mode then observe('clone:' .. fields.clone_mode, CLONE, tonumber(fields.clone_seconds) or 0) end
save(t)
return {'ok'}
