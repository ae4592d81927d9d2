#!lua flags=allow-oom
-- FINISH: end an agent run: tail, state, final event, outbox entry, record, in one step.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 completed|failed, 5 failure reason or '', 6 failure as JSON or '',
--       7 result text, 8 changes as JSON or '', 9 usage as JSON, 10 recorded work as JSON or '',
--       11 home of the work or '', 12 '1' when only that home has the work, 13 stored diff (bytes) or '',
--       14 data of the final event, 15 members of the webhook body (JSON text that begins with a comma),
--       then triples type, event, data of the run's last events
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} a cancel was accepted: report that
--    instead | {'illegal', state}
local t, op, to, reason, diff = load(ARGV[1]), ARGV[3], ARGV[4], ARGV[5], ARGV[13]
local f = t.f

-- A repeat that comes after a follow-up was queued still finds its operation id, in the row it wrote.
local function recorded_before()
  local number = tonumber(f.iterations_used or f.iteration)
  local names = {}
  for n = number, math.max(1, number - 15), -1 do names[#names + 1] = n .. '.op' end
  for _, known in ipairs(redis.call('HMGET', t.key .. ':iterations', unpack(names))) do
    if known == op then return true end
  end
  return false
end

if not f.status then return {'fenced', ''} end
if f.op == op then return {'dup', f.status} end
if f.token ~= ARGV[2] then return {recorded_before() and 'dup' or 'fenced', f.status} end
if f.cancel and reason ~= 'canceled' then return {'cancelled'} end
if f.kind == 'publish' or not FINISHED[to] or not may_follow(f.status, to) then return {'illegal', f.status} end

-- A number out of an agent's output, made harmless: Redis refuses to add what is no number, and to overflow.
local function amount(value)
  value = tonumber(value)
  if not value or value ~= value or value < 0 then return 0 end
  return math.min(value, 1e12)
end
local COUNTED = {'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_creation_tokens', 'cost_usd', 'duration_seconds', 'turns'}
local usage, total = cjson.decode(ARGV[9]), cjson.decode(f.usage_total)
for _, name in ipairs(COUNTED) do
  usage[name] = amount(usage[name])
  total[name] = amount(total[name]) + usage[name]
end
total.model = usage.model

local function count_usage()
  if usage.input_tokens + usage.output_tokens + usage.cost_usd == 0 then return end
  local agent = string.match(f.config or '', '"cli":"([^"]*)"') or ''
  local today, counters = tenant_key(t.tenant, 'usage:' .. string.sub(STAMP(), 1, 10)), P .. 'counters'
  for _, name in ipairs({'input_tokens', 'output_tokens'}) do
    if usage[name] >= 1 then
      redis.call('HINCRBY', today, name, string.format('%.0f', usage[name]))
      redis.call('HINCRBY', counters, 'tokens:' .. agent .. ':' .. name, string.format('%.0f', usage[name]))
    end
  end
  if usage.cost_usd > 0 then
    redis.call('HINCRBYFLOAT', today, 'cost_usd', string.format('%.6f', usage.cost_usd))
    redis.call('HINCRBYFLOAT', counters, 'cost_usd:' .. agent, string.format('%.6f', usage.cost_usd))
  end
  redis.call('EXPIRE', today, 172800)
end

local function record()
  local told = {usage = ARGV[9], failure = ARGV[6], result = ARGV[7], changes = ARGV[8]}
  local fields = {op = op, usage_total = cjson.encode(total), finished_at = NOW}
  local columns = {op = op}
  for name, value in pairs(told) do
    if value ~= '' then fields[name], columns[name] = value, value end
  end
  if ARGV[10] ~= '' then
    columns.work, columns.home = ARGV[10], ARGV[11]
    fields.home, fields.truncated = ARGV[11], ARGV[12]
  end
  set(t, fields)
  close_row(t, to, columns)
  if diff ~= '' then redis.call('HSET', t.key .. ':work', f.iteration, diff)
  elseif f.kind == 'retry' then redis.call('HDEL', t.key .. ':work', f.iteration) end  -- of the run before
end

local tail = {}
for i = 16, #ARGV do tail[#tail + 1] = ARGV[i] end
emit_all(t, tail)
record()
set_state(t, to, reason ~= '' and because(reason) or nil)
if to == 'completed' then emit(t, 'result', 'task_completed', ARGV[14]) else emit(t, 'system', 'task_failed', ARGV[14]) end
announce(t, 'task.' .. to, to, ARGV[15])
count_run(t, to)
count_usage()
release(t)
close_run(t)
return {'ok', to}
