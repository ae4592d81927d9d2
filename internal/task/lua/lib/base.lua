-- The base of every task script, on the ground of internal/rdb: a task in hand, and how its values are written.
--
-- A *ref* is "<tenant>/<task id>". The parts of this library are put in front of a script in this order, as far as it
-- needs them (internal/task/scripts.py):
-- ground (of internal/rdb), base, counters, registry, events, gates, spending, lists, pauses, directives, post (of
-- internal/webhook), runs, restore, dedup, homes, fairness, escalation.
--
-- A script has room for 200 local names. A part with many of its own declares what others use and keeps the rest in a
-- `do` block, or has one table for a group of them.
--
-- Two rules keep a script all or nothing: what can fail (decoding an argument) comes before the first write, and a
-- number is written by `text`.

local function quote(value) return cjson.encode(tostring(value)) end

-- RFC 3339 of a time in ms; civil-from-days after Howard Hinnant, "chrono-compatible date algorithms"
local function stamp(ms)
  local s = math.floor(ms / 1000)
  local z = math.floor(s / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(s / 3600) % 24, math.floor(s / 60) % 60, s % 60, ms % 1000)
end

local function split(ref) return string.match(ref, '^([^/]*)/(.*)$') end
local function task_key(ref)
  local tenant, id = split(ref)
  return P .. 'tenant:' .. tenant .. ':task:' .. id
end

-- A task in hand: `f` is its hash, all values strings. What `set`, `clear`, `row` and `emit` change is in Redis
-- once `save` was called, which writes it in one go; nobody else may have the same task in hand meanwhile.
local function in_hand(ref)
  local tenant, id = split(ref)
  return {ref = ref, tenant = tenant, id = id, key = P .. 'tenant:' .. tenant .. ':task:' .. id,
    f = {}, changed = {}, rows = {}, events = {}}
end
local function load(ref)
  local t = in_hand(ref)
  local flat = redis.call('HGETALL', t.key)
  for i = 1, #flat, 2 do t.f[flat[i]] = flat[i + 1] end
  return t
end
-- The same with those of its fields that the caller needs.
local function read(ref, ...)
  local t = in_hand(ref)
  local found = redis.call('HMGET', t.key, ...)
  for i, name in ipairs({...}) do t.f[name] = found[i] or nil end
  return t
end
local function set(t, fields)
  for name, value in pairs(fields) do
    t.f[name] = text(value)
    t.changed[name] = true
  end
end
local function clear(t, ...)                                    -- also of fields that `read` left out
  for _, name in ipairs({...}) do
    t.f[name] = nil
    t.changed[name] = true
  end
end
-- Fields of the row of the current iteration; false erases one.
local function row(t, fields)
  for name, value in pairs(fields) do t.rows[t.f.iteration .. '.' .. name] = text(value) end
end
local function write(key, changed, values)
  local put, gone = {}, {}
  for name in pairs(changed) do
    if values[name] then
      put[#put + 1] = name
      put[#put + 1] = values[name]
    else
      gone[#gone + 1] = name
    end
  end
  if #put > 0 then redis.call('HSET', key, unpack(put)) end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
end
local function save(t)
  write(t.key, t.changed, t.f)
  write(t.key .. ':iterations', t.rows, t.rows)
  for _, event in ipairs(t.events) do
    redis.call('XADD', t.key .. ':events', event.id .. '-0', 'e', event.envelope)
    redis.call('PUBLISH', P .. 'task:' .. t.id .. ':stream', event.envelope)
  end
  t.changed, t.rows, t.events = {}, {}, {}
end
