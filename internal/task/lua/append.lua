-- APPEND: add a batch of agent events to the log of a claimed task.
-- ARGV: 1 ref, 2 token, 3 batch number of this claim (from 1), then triples type, event, data as JSON
-- -> {'ok', number of the last event} | {'dup', ...} the batch is there already | {'fenced'}
local key = task_key(ARGV[1])
local found = redis.call('HMGET', key, 'token', 'batch', 'seq')
if not found[1] or found[1] ~= ARGV[2] then return {'fenced'} end
if tonumber(ARGV[3]) <= tonumber(found[2] or 0) then return {'dup', tonumber(found[3])} end
local events = {}
for i = 4, #ARGV do events[#events + 1] = ARGV[i] end
local seq = emit(ARGV[1], {seq = found[3]}, events)
redis.call('HSET', key, 'batch', ARGV[3])
return {'ok', seq}
