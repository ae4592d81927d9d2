#!lua flags=allow-oom
-- SUSPEND: a worker pauses a claimed run, with its work recorded; it takes no life.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 ms of its time that this attempt has used, 5-10 what it has used, as `spend`
--       has it, or all '', 11 changes as JSON or '', 12 recorded work as JSON or '', 13 its home or '', 14 '1' when only
--       that home has it, 15 stored diff (bytes) or '', then triples type, event, data of the attempt's last events
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} end the run instead
-- | {'illegal', state}
local t, op, diff = load(ARGV[1]), ARGV[3], ARGV[15]
local f = t.f
if not f.status then return {'fenced', ''} end
if f.op == op then return {'dup', f.status} end
if f.token ~= ARGV[2] then return {'fenced', f.status} end
if f.cancel then return {'cancelled'} end
if not may_follow(f.status, 'paused') then return {'illegal', f.status} end

local tail = {}
for i = 16, #ARGV do tail[#tail + 1] = ARGV[i] end
emit_all(t, tail)
if ARGV[12] ~= '' then directives.settle(t) end
if ARGV[5] ~= '' then spend(t, 5) end
set(t, {op = op, ran = (f.ran or 0) + ARGV[4], ran_usage = f.usage, ran_unpriced = f.unpriced})
if not f.unpriced then clear(t, 'ran_unpriced') end
if diff ~= '' then works.put_aside(t) end
works.record(t, ARGV[11], ARGV[12], ARGV[13], ARGV[14], diff)
release(t)
become_paused(t)
save(t)
return {'ok', f.status}
