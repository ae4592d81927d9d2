-- The event log and the state of a task. NEXT and FINISHED, the state table, come from internal/task/state.py.

local now_stamp
local function STAMP()
  now_stamp = now_stamp or stamp(NOW)
  return now_stamp
end

-- Number events, flat triples type, event, data (a JSON object as text); `save` stores and publishes them.
local function emit_all(t, events)
  local number, seq = tonumber(t.f.seq or 0), t.f.seq
  for i = 1, #events, 3 do
    number = number + 1
    seq = text(number)
    t.events[#t.events + 1] = {id = seq, envelope = '{"id":' .. seq .. ',"type":"' .. events[i] .. '","event":"' .. events[i + 1]
      .. '","data":' .. events[i + 2] .. ',"ts":"' .. STAMP() .. '"}'}
  end
  set(t, {seq = seq})
end
local function may_follow(from, to) return string.find(NEXT, ' ' .. from .. '>' .. to .. ' ', 1, true) end
local function emit(t, type_, event, data) emit_all(t, {type_, event, data}) end

-- extra: further members of the event, as JSON text that begins with a comma, or nil
local function set_state(t, to, extra)
  local from = t.f.status
  assert(may_follow(from, to), 'illegal transition')
  set(t, {status = to})
  redis.call('ZREM', tenant_key(t.tenant, 'state:' .. from), t.id)
  redis.call('ZADD', tenant_key(t.tenant, 'state:' .. to), NOW, t.id)
  emit(t, 'system', 'state', '{"from":"' .. from .. '","to":"' .. to .. '"' .. (extra or '') .. '}')
end
local function because(reason) return ',"reason":' .. quote(reason) end
