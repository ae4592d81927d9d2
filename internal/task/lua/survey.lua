#!lua flags=no-writes
-- SURVEY: how gates stand that are shut, at which something waits, or which have a limit of their own.
-- ARGV: 1 most gates of each sort, 2 '' or the tenant whose gates, and those that all share, are wanted
-- -> {one JSON object per gate, by key: key, waiting, and where there is one: limit, held, room (a number), opens (ms),
--    until, since (ms), why, times, probe, repo_url}
local MOST, tenant = tonumber(ARGV[1]), ARGV[2]
local SCANNED = 9999                                            -- the last one that is looked at of an index

local wanted = {}
local function add(keys)
  local left = MOST
  for _, key in ipairs(keys) do
    local owner = tenant_of(key)
    if left > 0 and (tenant == '' or not owner or owner == tenant) and not wanted[key] then
      wanted[key] = true
      left = left - 1
    end
  end
end
local limited = {}
for _, field in ipairs(redis.call('HKEYS', P .. 'limits')) do
  local key = string.match(field, '^(.*):usd$') or string.match(field, '^(.*):tokens$') or field
  local is_gate = string.find(key, ':', 1, true) and not string.find(key, '*', 1, true)
  if is_gate and family_of(key) ~= 'weight' and family_of(key) ~= 'throttle' then limited[#limited + 1] = key end
end
add(redis.call('ZRANGE', P .. 'gates:shut', 0, SCANNED))
add(redis.call('ZRANGE', P .. 'gates:parked', 0, SCANNED))
add(limited)

-- The URL of a gate's repository, from who waits or runs there, from its level or from what was spent on it today.
local function repo_url_of(key)
  local owner = string.match(key, '^repo:.*') or string.match(key, '^%a+:(repo:.*)')
  if not owner then return nil end
  local parked = redis.call('ZRANGE', gate_key(key, 'parked'), 0, 0)[1]
  local ref = string.match(parked or '', '^task (.*)$') or redis.call('SRANDMEMBER', gate_key(owner, 'held'))
  return ref and redis.call('HGET', task_key(ref), 'repo_url') or redis.call('HGET', P .. 'escalation:' .. owner, 'repo_url')
    or redis.call('HGET', spent_key('budget:' .. owner), 'repo_url')
end
local function stand_of(key)
  local gate = {key = key, kind = kind_of(key), cost = 1}
  local limit = limits_of({gate})[1]
  local room, opens = room_of(gate, limit)
  local stand = {key = key, opens = opens, waiting = redis.call('ZCARD', gate_key(key, 'parked')),
    repo_url = repo_url_of(key) or nil}
  if room < math.huge then stand.room = math.max(0, math.floor(room)) end
  if gate.kind == 'cap' then stand.held = redis.call('SCARD', gate_key(key, 'held')) end
  if gate.kind == 'cap' or gate.kind == 'rate' then stand.limit = limit end
  if gate.kind == 'until' then
    local f = redis.call('HMGET', gate_key(key, 'until'), 'until', 'since', 'why', 'times', 'probe')
    stand['until'], stand.since, stand.why = f[1] or nil, f[2] and tonumber(f[2]) or nil, f[3] or nil
    stand.times, stand.probe = f[4] and tonumber(f[4]) or nil, f[5] or nil
  end
  return stand
end
local keys, out = {}, {}
for key in pairs(wanted) do keys[#keys + 1] = key end
table.sort(keys)
for i, key in ipairs(keys) do out[i] = cjson.encode(stand_of(key)) end
return out
