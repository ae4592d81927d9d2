#!lua flags=allow-oom
-- TRIM: while Redis is short of memory, take agent events out of the logs of finished tasks, the oldest ones first.
-- ARGV: 1 share of maxmemory up to which nothing goes
-- -> {events that went, 1 when there is more to do now}
-- Events of our own stay, the final one among them; `events_trimmed` of a task is the highest number that went.
-- `trimmed` says how far this has come in `expiring`, which is in order of their end.
local TASKS, EVENTS, BYTES, STEP = 16, 2000, 4194304, 100       -- most of one call
local info = redis.call('INFO', 'memory')
local used, most = tonumber(string.match(info, 'used_memory:(%d+)')), tonumber(string.match(info, 'maxmemory:(%d+)'))
if (most or 0) == 0 or used <= most * ARGV[1] then
  redis.call('DEL', P .. 'trimmed')
  return {0, 0}
end

local looked_at, bytes, gone = 0, 0, 0

-- Returns true when nothing more is to go of this task.
local function trim(ref)
  local key, highest = task_key(ref), 0
  local trimmed = redis.call('HGET', key, 'events_trimmed')
  local from = trimmed and '(' .. trimmed or '-'                -- what stayed before it stays
  local complete = false
  while not complete and looked_at < EVENTS and bytes < BYTES do
    local entries, ids = redis.call('XRANGE', key .. ':events', from, '+', 'COUNT', STEP), {}
    for _, entry in ipairs(entries) do
      looked_at, bytes, from = looked_at + 1, bytes + #entry[2][2], '(' .. entry[1]
      if string.match(entry[2][2], '^{"id":%d+,"type":"stream"') then ids[#ids + 1] = entry[1] end
    end
    if #ids > 0 then
      gone = gone + redis.call('XDEL', key .. ':events', unpack(ids))
      highest = tonumber(string.match(ids[#ids], '^%d+'))
    end
    complete = #entries < STEP
  end
  if highest > 0 then redis.call('HSET', key, 'events_trimmed', text(highest)) end
  return complete
end

local from = redis.call('GET', P .. 'trimmed')
local refs = redis.call('ZRANGE', P .. 'expiring', from and '(' .. from or '-inf', '+inf', 'BYSCORE', 'LIMIT', 0, TASKS,
  'WITHSCORES')
for i = 1, #refs, 2 do
  local is_first = looked_at == 0
  local complete = redis.call('EXISTS', task_key(refs[i])) == 0 or trim(refs[i])
  if not complete and not (is_first and gone == 0) then return {gone, 1} end  -- a whole call for nothing: go on behind it
  redis.call('SET', P .. 'trimmed', refs[i + 1], 'EX', 3600)
end
if #refs == 0 then redis.call('DEL', P .. 'trimmed') end        -- from the first one again: others may have finished
return {gone, gone > 0 and 1 or 0}
