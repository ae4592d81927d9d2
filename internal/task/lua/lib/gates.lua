-- Gates: what a task must pass to be claimed. Nothing is taken before each of its gates was found open.
--
-- Kinds: `cap`, so many at once: `gate:<key>:held` is a set, so a double release frees nothing twice. `rate`, so many
-- starts in any 60 s: `gate:<key>:starts` has the newest. `budget`, so much on a day: `spent:<key>:<day>`. `until`, shut
-- until a time or until it is released: `gate:<key>:until` is there while it is not open. Behind that time one task goes
-- ahead of the others, and only while it has the token it was claimed with, and for ten minutes: neither a dead nor a mute
-- one keeps anybody waiting.

local FORGET, gate_key, family_of, kind_of, wait_reason, parse_gates, gates_of, limits_of, room_of, closed_gate,
  take_gates, step_back, shut_gate, open_gate, tenant_of, today, spent_key
do

local WINDOW = 60000                                            -- ms
local DAY = 86400000
local TRIES = 600000                                            -- ms in which one that goes ahead has to get an answer
FORGET = DAY       -- behind its time, a gate that nobody tried is open again as if it had never been shut

function gate_key(gate, name) return P .. 'gate:' .. gate .. ':' .. name end
function today() return string.sub(STAMP(), 1, 10) end
function spent_key(gate) return P .. 'spent:' .. gate .. ':' .. today() end

local UNTIL = {breaker = 'breaker', hold = 'breaker', quota = 'quota'}  -- and what a task at such a gate waits for
function family_of(key) return string.match(key, '^[^:]*') end
function kind_of(key)
  local family = family_of(key)
  if family == 'rate' or family == 'budget' then return family end
  return UNTIL[family] and 'until' or 'cap'
end
function wait_reason(key)
  local family = family_of(key)
  return UNTIL[family] or family == 'budget' and family or 'cap'
end

-- Lines "<kind> <cost> <key>"; the tenant's own cap stands first.
function parse_gates(lines)
  local gates = {}
  for kind, cost, key in string.gmatch(lines, '(%a+) (%d+) ([^\n]+)') do
    gates[#gates + 1] = {kind = kind, cost = tonumber(cost), key = key}
  end
  return gates
end
function gates_of(t) return parse_gates((t.f.gates or '') .. (t.f.admitted or '')) end

-- Three names of a limit, the narrowest first: of the key, of a repository whoever works on it, of the class.
local function add_names(names, key, unit)
  local class = string.match(key, '^rate:%a+') or string.match(key, '^budget:%a+') or family_of(key)
  local repo = string.sub(class, -4) == 'repo' and string.match(key, '^[^:]*:(.*)$', #class + 2)
  local n = #names
  names[n + 1] = key .. unit
  names[n + 2] = repo and class .. ':*:' .. repo .. unit or ''
  names[n + 3] = class .. ':*' .. unit
end
local function limit_at(found, at)
  local limit = tonumber(found[at] or found[at + 1] or found[at + 2] or 0) or 0
  return limit > 0 and limit or nil
end
local function add_rates_and_budgets(gates, limits)
  local names, at = {}, 1
  for _, gate in ipairs(gates) do
    if gate.kind == 'rate' then add_names(names, gate.key, '') end
    if gate.kind == 'budget' then
      add_names(names, gate.key, ':usd')
      add_names(names, gate.key, ':tokens')
    end
  end
  if #names == 0 then return end
  local found = redis.call('HMGET', P .. 'limits', unpack(names))
  for i, gate in ipairs(gates) do
    if gate.kind == 'rate' then
      limits[i] = limit_at(found, at)
      at = at + 3
    elseif gate.kind == 'budget' then
      local usd, tokens = limit_at(found, at), limit_at(found, at + 3)
      limits[i] = (usd or tokens) and {usd = usd, tokens = tokens}
      at = at + 6
    end
  end
end
-- The limits of gates, nil where there is none, and the values of further fields. `throttle:<key>` lowers a cap; field
-- `kinds` is there when anything but caps has a limit, so that without one nobody looks for it.
function limits_of(gates, ...)
  local names, limits = {'kinds', ...}, {}
  local at = #names
  for _, gate in ipairs(gates) do
    if gate.kind == 'cap' then
      add_names(names, gate.key, '')
      names[#names + 1] = 'throttle:' .. gate.key
    end
  end
  local found = redis.call('HMGET', P .. 'limits', unpack(names))
  for i, gate in ipairs(gates) do
    if gate.kind == 'cap' then
      local limit, throttle = limit_at(found, at + 1), tonumber(found[at + 4])
      limits[i] = throttle and math.min(limit or throttle, throttle) or limit
      at = at + 4
    end
  end
  if found[1] then add_rates_and_budgets(gates, limits) end
  return limits, found[2], found[3], found[4]
end

local function starts_left(gate, limit)
  local key = gate_key(gate.key, 'starts')
  local since = NOW - WINDOW + 1                                -- what lies in the future, after a failover, is not counted
  local left = limit - redis.call('ZCOUNT', key, since, NOW)
  if left >= gate.cost then return left end
  local last = redis.call('ZRANGE', key, since, NOW, 'BYSCORE', 'LIMIT', math.max(0, math.ceil(gate.cost - left) - 1), 1,
    'WITHSCORES')
  return left, last[2] and tonumber(last[2]) + WINDOW
end
local function budget_left(gate, limit)
  local spent = redis.call('HMGET', spent_key(gate.key), 'usd', 'tokens')
  local over = limit.usd and tonumber(spent[1] or 0) >= limit.usd or limit.tokens and tonumber(spent[2] or 0) >= limit.tokens
  if not over then return math.huge end
  return 0, (math.floor(NOW / DAY) + 1) * DAY            -- midnight, UTC
end
local function is_ahead(probe)
  local ref, token = string.match(probe or '', '^(%S+) (%S+)$')
  if not ref then return false end
  local found = redis.call('HMGET', task_key(ref), 'token', 'granted_at')
  return found[1] == token and NOW - tonumber(found[2] or NOW) < TRIES
end
local function turns_left(gate)
  local found = redis.call('HMGET', gate_key(gate.key, 'until'), 'until', 'probe')
  if not found[1] then return math.huge end
  local opens = tonumber(found[1])                              -- not a number: until it is released
  if not opens or NOW < opens then return 0, opens end
  gate.half_open = true
  return is_ahead(found[2]) and 0 or 1
end
-- How many may pass a gate now and, where that is known, when more may (ms). limit: as limits_of has it
function room_of(gate, limit)
  if gate.kind == 'until' then return turns_left(gate) end
  if not limit then return math.huge end
  if gate.kind == 'rate' then return starts_left(gate, limit) end
  if gate.kind == 'budget' then return budget_left(gate, limit) end
  return limit - redis.call('SCARD', gate_key(gate.key, 'held'))
end

local function is_any_shut(gates)
  local keys = {}
  for _, gate in ipairs(gates) do
    if gate.kind == 'until' then keys[#keys + 1] = gate_key(gate.key, 'until') end
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end
-- The first gate that has no room for a task and, where that is known, when it has some (ms); or nil.
function closed_gate(gates, limits)
  local shut = is_any_shut(gates)
  for i, gate in ipairs(gates) do
    if shut or gate.kind ~= 'until' then
      local room, opens = room_of(gate, limits[i])
      if room < gate.cost then return gate.key, opens end
    end
  end
end

-- Take the places of a task at gates that were all found open.
function take_gates(t, gates, limits, token)
  for i, gate in ipairs(gates) do
    if gate.kind == 'cap' then
      redis.call('SADD', gate_key(gate.key, 'held'), t.ref)
    elseif gate.kind == 'rate' and limits[i] then
      local key = gate_key(gate.key, 'starts')
      redis.call('ZREMRANGEBYSCORE', key, '-inf', NOW - WINDOW)
      redis.call('ZADD', key, NOW, token)
      redis.call('PEXPIRE', key, WINDOW)
    elseif gate.half_open then
      redis.call('HSET', gate_key(gate.key, 'until'), 'probe', t.ref .. ' ' .. token)
    end
  end
end
-- A task that ends is not ahead of the others any more. Returns how many may pass now.
function step_back(t, gate)
  local key = gate_key(gate.key, 'until')
  if redis.call('HGET', key, 'probe') == t.ref .. ' ' .. (t.f.token or '') then redis.call('HDEL', key, 'probe') end
  return (turns_left(gate))
end

-- Shut an `until` gate until a time in ms, or until it is released when that is 'released', which no time undoes.
function shut_gate(gate, until_ms, why)
  local key = gate_key(gate, 'until')
  if redis.call('HGET', key, 'until') == 'released' then until_ms = 'released' end
  redis.call('HSETNX', key, 'since', text(NOW))
  redis.call('HINCRBY', key, 'times', 1)
  redis.call('HSET', key, 'until', text(until_ms), 'why', why)
  redis.call('HDEL', key, 'probe')
  if until_ms == 'released' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, text(until_ms - NOW + FORGET)) end
  redis.call('ZADD', P .. 'gates:shut', until_ms == 'released' and '+inf' or text(until_ms), gate)
end
-- Open it, and forget that it was shut. What waits there goes on with the next REAP.
function open_gate(gate)
  redis.call('DEL', gate_key(gate, 'until'))
  redis.call('ZREM', P .. 'gates:shut', gate)
end
-- Whose gate this is, nil when all tenants share it.
function tenant_of(gate)
  local owner = string.match(gate, '^rate:(.*)') or string.match(gate, '^budget:(.*)') or string.match(gate, '^hold:(.*)') or gate
  local family, tenant = string.match(owner, '^(%a+):([^:]*)')
  if family == 'tenant' or family == 'repo' or family == 'dedup' or family == 'quota' then return tenant end
end

end
