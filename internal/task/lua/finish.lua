#!lua flags=allow-oom
-- FINISH: end an agent run: tail, state, final event, outbox entry, record, in one step.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 completed|failed, 5 failure reason or '', 6 failure as JSON or '',
--       7 result text, 8 changes as JSON or '', 9 usage as JSON, 10 recorded work as JSON or '',
--       11 home of the work or '', 12 '1' when only that home has the work, 13 stored diff (bytes) or '',
--       14 data of the final event, 15 members of the webhook body (JSON text that begins with a comma),
--       then triples type, event, data of the run's last events
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} a cancel was accepted: report that
--    instead | {'illegal', state}
local ref, to = ARGV[1], ARGV[4]
local h = load(ref)
if not h.status then return {'fenced', ''} end
if h.op == ARGV[3] then return {'dup', h.status} end
if not h.token or h.token ~= ARGV[2] then return {'fenced', h.status} end
if h.cancel and ARGV[5] ~= 'canceled' then return {'cancelled'} end
if h.kind == 'publish' or not NEXT[h.status][to] or not FINISHED[to] then return {'illegal', h.status} end

local tail = {}
for i = 16, #ARGV do tail[#tail + 1] = ARGV[i] end
if #tail > 0 then emit(ref, h, tail) end

local usage, total = cjson.decode(ARGV[9]), cjson.decode(h.usage_total)
for _, name in ipairs({'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_creation_tokens', 'cost_usd', 'duration_seconds', 'turns'}) do
  total[name] = (total[name] or 0) + (usage[name] or 0)
end
total.model = usage.model
local fields = {op = ARGV[3], usage = ARGV[9], usage_total = cjson.encode(total), finished_at = NOW}
local record = {usage = ARGV[9], ended_at = NOW}
if ARGV[6] ~= '' then fields.failure = ARGV[6]; record.failure = ARGV[6] end
if ARGV[7] ~= '' then fields.result = ARGV[7]; record.result = ARGV[7] end
if ARGV[8] ~= '' then fields.changes = ARGV[8]; record.changes = ARGV[8] end
if ARGV[10] ~= '' then
  record.work = ARGV[10]
  record.home = ARGV[11]
  fields.home = ARGV[11]
  fields.truncated = ARGV[12]
end
set(ref, h, fields)
row(ref, h, record)
if ARGV[13] ~= '' then redis.call('HSET', task_key(ref) .. ':work', h.iteration, ARGV[13]) end

set_state(ref, h, to, ARGV[5] ~= '' and ',"reason":"' .. ARGV[5] .. '"' or nil)
if to == 'completed' then emit(ref, h, {'result', 'task_completed', ARGV[14]})
else emit(ref, h, {'system', 'task_failed', ARGV[14]}) end
announce(ref, h, 'task.' .. to, to, ARGV[15])
count_run(h, to)

local tenant = split(ref)
local agent = string.match(h.config or '', '"cli":"([^"]*)"') or ''
local today = tenant_key(tenant, 'usage:' .. string.sub(STAMP, 1, 10))
for _, name in ipairs({'input_tokens', 'output_tokens'}) do
  redis.call('HINCRBY', today, name, usage[name] or 0)
  redis.call('HINCRBY', P .. 'counters', 'tokens:' .. agent .. ':' .. name, usage[name] or 0)
end
redis.call('HINCRBYFLOAT', today, 'cost_usd', string.format('%.6f', usage.cost_usd or 0))
redis.call('HINCRBYFLOAT', P .. 'counters', 'cost_usd:' .. agent, string.format('%.6f', usage.cost_usd or 0))
redis.call('EXPIRE', today, 172800)

release(ref, h)
clear(ref, h, 'cancel', 'prev', 'waited', 'lost_work')
retain(ref, h)
say_done(ref, h)
return {'ok', to}
