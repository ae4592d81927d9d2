#!lua flags=allow-oom
-- CLAIM: lease due deliveries to one dispatcher, oldest first.
-- KEYS: 1 prefix of all keys
-- ARGV: 1 token of this claim, 2 length of the lease in ms, 3 most deliveries to give,
--       4 places of an endpoint that is not named, 5 ms by which what finds no place there is put off,
--       then triples: endpoint, places left, ms by which what finds no place is put off
-- -> {more, {delivery...}}; more is 1 when others may be due now, else 0. A delivery is
--    {id, tenant, task_id, url, event, body, trace_id or nil, attempts, traceparent or nil, endpoint}
-- A repeated call leases others; what a lost reply leased is due again when that lease ends.
local P = KEYS[1]
local token, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local WINDOW = 256                                    -- entries looked at, so that a call stays short

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Scheme, host and port, without user and password: it is logged.
local function endpoint_of(url)
  local scheme, authority = string.match(url, '^([^/]*)//([^/?#]*)')
  return scheme and string.lower(scheme .. '//' .. string.gsub(authority, '^.*@', '')) or 'invalid'
end

local places, put_off = {}, {}
for i = 6, #ARGV, 3 do
  places[ARGV[i]] = tonumber(ARGV[i + 1])
  put_off[ARGV[i]] = tonumber(ARGV[i + 2])
end

local due = redis.call('ZRANGEBYSCORE', P .. 'outbox', '-inf', now, 'LIMIT', 0, WINDOW)
local given, crowd, looked_at = {}, {}, 0
for _, id in ipairs(due) do
  if #given == most then break end
  looked_at = looked_at + 1
  local key = P .. 'delivery:' .. id
  local url = redis.call('HGET', key, 'url')
  local endpoint = url and endpoint_of(url)
  local left = endpoint and (places[endpoint] or tonumber(ARGV[4]))
  if not url then
    redis.call('ZREM', P .. 'outbox', id)             -- erased with its task
  elseif left > 0 then
    places[endpoint] = left - 1
    redis.call('ZADD', P .. 'outbox', now + lease, id)
    redis.call('HSET', key, 'token', token)
    local found = redis.call('HMGET', key, 'id', 'tenant', 'task_id', 'url', 'event', 'body', 'trace_id', 'attempts',
      'traceparent')
    found[10] = endpoint
    given[#given + 1] = found
  else
    crowd[#crowd + 1] = {id, endpoint}
  end
end

-- A full window may hide others: what found no place makes room for the next look.
if looked_at == WINDOW then
  for _, entry in ipairs(crowd) do
    redis.call('ZADD', P .. 'outbox', now + (put_off[entry[2]] or tonumber(ARGV[5])), entry[1])
  end
end
return {(looked_at < #due or #due == WINDOW) and 1 or 0, given}
