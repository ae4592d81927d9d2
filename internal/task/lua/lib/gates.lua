-- Gates: what a task must pass to be claimed. `gate:<key>:held` is a set, so a double release frees nothing twice.

local function gate_key(gate, name) return P .. 'gate:' .. gate .. ':' .. name end

-- The gates of a task: lines "<kind> <cost> <key>"; the tenant's own stands first.
local function gates_of(t)
  local gates = {}
  for kind, cost, key in string.gmatch(t.f.gates or '', '(%a+) (%d+) ([^\n]+)') do
    gates[#gates + 1] = {kind = kind, cost = tonumber(cost), key = key}
  end
  return gates
end

-- The limits of gates (its own, else that of its class, else none; 0 means none), and one more field.
local function limits_of(gates, also)
  local names, limits = {}, {}
  for _, gate in ipairs(gates) do
    names[#names + 1] = gate.key
    names[#names + 1] = string.match(gate.key, '^[^:]+') .. ':*'
  end
  names[#names + 1] = also
  local found = redis.call('HMGET', P .. 'limits', unpack(names))
  for i = 1, #gates do limits[i] = tonumber(found[2 * i - 1] or found[2 * i] or 0) or 0 end
  return limits, also and found[#names]
end
local function places_left(gate, limit)
  if limit == 0 then return math.huge end
  return math.max(0, limit - redis.call('SCARD', gate_key(gate, 'held')))
end

-- The first gate that has no room for a task, or nil.
local function closed_gate(gates, limits)
  for i, gate in ipairs(gates) do
    if limits[i] ~= 0 and places_left(gate.key, limits[i]) < gate.cost then return gate.key end
  end
end
