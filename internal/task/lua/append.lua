-- APPEND: add a batch of agent events to the log of a claimed task.
-- ARGV: 1 ref, 2 token, 3 batch number of this claim (from 1), then triples type, event, data as JSON
-- -> {'ok', number of the last event} | {'dup', ...} the batch is there already | {'fenced'}
local t = read(ARGV[1], 'token', 'batch', 'seq')
if not t.f.token or t.f.token ~= ARGV[2] then return {'fenced'} end
if tonumber(ARGV[3]) <= tonumber(t.f.batch) then return {'dup', tonumber(t.f.seq)} end
local events = {}
for i = 4, #ARGV do events[#events + 1] = ARGV[i] end
emit_all(t, events)
set(t, {batch = ARGV[3]})
save(t)
return {'ok', tonumber(t.f.seq)}
