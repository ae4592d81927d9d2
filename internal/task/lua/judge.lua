#!lua flags=allow-oom
-- JUDGE: what an attempt has learned of agent programs, endpoints and keys, just before its end is reported.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 gates that work, as JSON [key]: one that is half-open opens;
--       5 samples for breakers, as JSON [{key, class, failed, slow, window, minimum, failure_rate, slow_rate,
--       consecutive, pause, longest_pause}], times in ms; 6 gates to shut, as JSON [{key, ms, why}]
-- -> {'ok'} | {'dup'} | {'fenced'}
-- A breaker's window is the hash `gate:<key>:window`: `<begin of a slot in ms>.calls`, `<begin>.failed:<tenant>`,
-- `<begin>.slow:<tenant>`, and `<begin>.row:<tenant>`, its part of the failures in a row. While its gate is shut nothing
-- counts; when it shuts or opens, it starts empty. A breaker is everybody's, so what opens it is a fair sum.
local SLOTS, KNOWN_BREAKERS = 10, 200
local t, op = read(ARGV[1], 'status', 'token', 'judged', 'seq'), ARGV[3]
local works, samples, to_shut = cjson.decode(ARGV[4]), cjson.decode(ARGV[5]), cjson.decode(ARGV[6])
if not t.f.token or t.f.token ~= ARGV[2] then return {'fenced'} end
if t.f.judged == op then return {'dup'} end

local function gate_state(key)
  local found = redis.call('HMGET', gate_key(key, 'until'), 'until', 'times', 'probe')
  if not found[1] then return {state = 'open'} end
  local until_ms = tonumber(found[1])                           -- none: shut until somebody releases it
  return {state = until_ms and until_ms <= NOW and 'half' or 'shut', until_ms = until_ms, times = tonumber(found[2] or 0) or 0,
    probes = found[3] == t.ref .. ' ' .. t.f.token}
end
local function tell(name, key, members)
  emit(t, 'control', name, '{"breaker":' .. quote(key) .. members .. '}')
end

-- The first success behind a pause: the gate opens, whoever it was.
local function confirm(key)
  if gate_state(key).state ~= 'half' then return end
  open_gate(key)
  local class = string.match(key, '^breaker:(%a+):')
  if not class then return end
  redis.call('DEL', gate_key(key, 'window'))
  count('breakers_closed:' .. class)
  tell('breaker_closed', key, '')
end

local function trip(sample, times, why)
  local pause = math.min(sample.longest_pause, sample.pause * 2 ^ math.min(times, 20))
  shut_gate(sample.key, NOW + math.floor(pause), why)
  redis.call('DEL', gate_key(sample.key, 'window'))
  count('breakers_opened:' .. sample.class)
  tell('breaker_opened', sample.key, ',"why":' .. quote(why) .. ',"until":"' .. stamp(NOW + math.floor(pause)) .. '"')
end

local function add(by_tenant, tenant, count) by_tenant[tenant] = (by_tenant[tenant] or 0) + count end
local function total(by_tenant)
  local sum = 0
  for _, count in pairs(by_tenant) do sum = sum + count end
  return sum
end

-- The sums of the window with this sample in it; what is too old, or from another clock, leaves.
local function counted(sample)
  local key, oldest = gate_key(sample.key, 'window'), NOW - sample.window
  local size = math.max(1, math.floor(sample.window / SLOTS))
  local slot = text(NOW - NOW % size)
  local sums, gone = {calls = 1, failed = {}, slow = {}, row = {}}, {}
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local begin, name, tenant = string.match(flat[i], '^(%d*)%.?(%a+):?(.*)$')
    local at, count = tonumber(begin), tonumber(flat[i + 1])
    if not at or at <= oldest or at > NOW or name == 'row' and not sample.failed then gone[#gone + 1] = flat[i]
    elseif name == 'calls' then sums.calls = sums.calls + count
    else add(sums[name], tenant, count) end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  redis.call('HINCRBY', key, slot .. '.calls', 1)
  for name, field in pairs({failed = sample.failed and slot .. '.failed:', slow = sample.slow and slot .. '.slow:',
    row = sample.failed and slot .. '.row:'}) do
    if field then
      add(sums[name], t.tenant, 1)
      redis.call('HINCRBY', key, field .. t.tenant, 1)
    end
  end
  redis.call('PEXPIRE', key, text(sample.window))
  return sums
end

local function verdict(sample, sums)
  local function reaches(by_tenant, needed) return needed > 0 and fair_sum(by_tenant, needed) >= needed end
  local function share(part, rate) return sums.calls >= sample.minimum and reaches(part, rate * sums.calls) end
  if sample.failed and reaches(sums.row, sample.consecutive) then return text(total(sums.row)) .. ' failures in a row' end
  local of = ' of ' .. text(sums.calls) .. ' calls '
  if sample.failed and share(sums.failed, sample.failure_rate) then return text(total(sums.failed)) .. of .. 'failed' end
  if sample.slow and share(sums.slow, sample.slow_rate) then return text(total(sums.slow)) .. of .. 'were slow' end
end

local function weigh(sample)
  redis.call('ZADD', P .. 'breakers', NOW, sample.key)
  redis.call('ZREMRANGEBYRANK', P .. 'breakers', 0, -KNOWN_BREAKERS - 1)
  redis.call('EXPIRE', P .. 'breakers', FORGET / 1000)
  local gate = gate_state(sample.key)
  if gate.state == 'open' then
    local why = verdict(sample, counted(sample))
    if why then trip(sample, 0, why) end
  elseif gate.state == 'half' and sample.failed and gate.probes then
    trip(sample, gate.times, 'its probe failed')
  end
end

for _, key in ipairs(works) do confirm(key) end
for _, sample in ipairs(samples) do weigh(sample) end
for _, gate in ipairs(to_shut) do
  local now = gate_state(gate.key)
  if now.state ~= 'shut' or (now.until_ms or math.huge) < NOW + gate.ms then
    shut_gate(gate.key, NOW + math.floor(gate.ms), gate.why)
  end
end
set(t, {judged = op})
save(t)
return {'ok'}
