-- INPUT_TAKE: give a listener one payload of the pending list that nobody works on.
-- An entry nobody took yet is the bare payload; a taken one is "\1<entry id> <end of its lease in ms>\n<payload>",
-- which no JSON text can be. A taken entry whose lease ended is given again under its own id; a lease longer than
-- any we give is somebody else's invention, and over.
-- KEYS: 1 pending list   ARGV: 1 entry id for a bare payload, 2 ms of the lease
-- -> {entry id, payload} | {} nothing to do
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found
for index, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, 255)) do
  local id, ends, payload = string.match(entry, '^\1(%S+) (%d+)\n(.*)$')
  if id == ARGV[1] then return {id, payload} end         -- the same call, repeated by the client library
  local left = id and tonumber(ends) - now or 0
  if not found and (left <= 0 or left > tonumber(ARGV[2])) then found = {index - 1, id or ARGV[1], payload or entry} end
end
if not found then return {} end
redis.call('LSET', KEYS[1], found[1], '\1' .. found[2] .. ' ' .. string.format('%d', now + ARGV[2]) .. '\n' .. found[3])
return {found[2], found[3]}
