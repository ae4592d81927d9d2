#!lua flags=allow-oom
-- ADMIT: may a process with these master keys work with these data? If so, it is among the live ones.
-- KEYS: 1 prefix of all keys
-- ARGV: 1 process, 2 its record as JSON {active, known[], ...}, 3 id of its active key, 4 ms a silent process counts
--       as live, 5 s the register of processes is kept, then the ids of all keys it knows
-- -> {'ok', id of the key that records named `m1` are under, or ''} | {'unknown', n, m} n of the m keys that stored
--    secrets may be under are not known to it | {'behind', n} n live processes do not know its active key
local P, process, active = KEYS[1], ARGV[1], ARGV[3]
local kids, processes = P .. 'encryption:kids', P .. 'encryption:processes'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = {}
for i = 6, #ARGV do known[ARGV[i]] = true end
local first = redis.call('GET', P .. 'encryption:check')
local stored, is_stored, unknown = redis.call('HKEYS', kids), {}, 0
if first then stored[#stored + 1] = first end
for _, kid in ipairs(stored) do
  if not is_stored[kid] and not known[kid] then unknown = unknown + 1 end
  is_stored[kid] = true
end
local count = 0
for _ in pairs(is_stored) do count = count + 1 end
if unknown > 0 then return {'unknown', unknown, count} end

if count > 0 and not is_stored[active] then                     -- a new key begins to seal: all must be able to read
  local behind, flat = 0, redis.call('HGETALL', processes)
  for i = 1, #flat, 2 do
    local other = cjson.decode(flat[i + 1])
    if flat[i] ~= process and now - other.seen <= tonumber(ARGV[4]) then
      local knows = false
      for _, kid in ipairs(other.known) do knows = knows or kid == active end
      if not knows then behind = behind + 1 end
    end
  end
  if behind > 0 then return {'behind', behind} end
end

if first then redis.call('HSETNX', kids, first, 1) end
redis.call('HINCRBY', kids, active, 1)
local record = cjson.decode(ARGV[2])
record.seen = now
redis.call('HSET', processes, process, cjson.encode(record))
redis.call('EXPIRE', processes, ARGV[5])
return {'ok', first or ''}
