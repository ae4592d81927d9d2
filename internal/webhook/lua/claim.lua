#!lua flags=allow-oom
-- CLAIM: lease due deliveries to one dispatcher, oldest first.
-- ARGV: 1 token of this claim, 2 length of the lease in ms, 3 most deliveries to give,
--       4 places of a destination that is not named, 5 places of a tenant that is not named,
--       6 ms by which what finds no place there is put off,
--       then triples: destination or tenant, places left (-1: shut, all that is due is put off), ms to put off by
-- -> {more, {delivery...}, time in s}; more is 1 when others may be due now, else 0. A delivery is
--    {id, event id, tenant, task_id, url, event, body, trace_id, traceparent, tries, endpoint or '', origin, destination, sealed secret...}
-- A repeated call leases others; what a lost reply leased is due again when that lease ends.
local token, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local WINDOW = 256                                    -- entries looked at, so that a call stays short

local places, put_off = {}, {}
for i = 7, #ARGV, 3 do
  places[ARGV[i]] = tonumber(ARGV[i + 1])
  put_off[ARGV[i]] = tonumber(ARGV[i + 2])
end

-- Scheme, host and port, without user and password: it is logged.
local function origin_of(url)
  local scheme, authority = string.match(url, '^([^/]*)//([^/?#]*)')
  return scheme and string.lower(scheme .. '//' .. string.gsub(authority, '^.*@', '')) or 'invalid'
end

-- Where a registered endpoint is, and the secrets that are valid now, the newest first; or why it gets nothing.
local known = {}
local function endpoint_of(tenant, id)
  local name = tenant .. '/' .. id
  if known[name] then return known[name] end
  local f, flat = {}, redis.call('HGETALL', tenant_key(tenant, 'webhook:' .. id))
  for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
  local found = {url = f.url, refused = not f.url and 'endpoint_deleted' or f.off and 'endpoint_off', secrets = {}}
  for revision = tonumber(f.revision or 0), 1, -1 do
    local secret, ends = f['secret:' .. revision], tonumber(f['until:' .. revision] or math.huge)
    if not secret then break end
    if ends > NOW then found.secrets[#found.secrets + 1] = secret end
  end
  known[name] = found
  return found
end

local function give_up(id, reason)
  redis.call('ZREM', P .. 'outbox', id)
  redis.call('HSET', P .. 'delivery:' .. id, 'status', 'failed', 'last_reason', reason, 'last_at', text(NOW))
  redis.call('EXPIRE', P .. 'delivery:' .. id, DELIVERY_TTL)
  redis.call('HINCRBY', P .. 'counters', 'webhook_deliveries:failed', 1)
end

local due = redis.call('ZRANGEBYSCORE', P .. 'outbox', '-inf', NOW, 'LIMIT', 0, WINDOW)
local given, crowd, looked_at = {}, {}, 0

local function lease_to(id, d, url, secrets, origin, destination)
  local body = redis.call('HGET', tenant_key(d.tenant, 'task:' .. d.task) .. ':bodies', d.event_id)
  if not body then                                    -- it waited for 30 days, or is one of very many of a deleted task
    give_up(id, 'body_erased')
    return false
  end
  redis.call('ZADD', P .. 'outbox', NOW + lease, id)
  redis.call('HSET', P .. 'delivery:' .. id, 'token', token)
  given[#given + 1] = {id, d.event_id, d.tenant, d.task, url, d.event, body, d.trace_id, d.traceparent, d.tries, d.endpoint, origin,
    destination, unpack(secrets)}
  return true
end

local function serve(id)
  local f = redis.call('HMGET', P .. 'delivery:' .. id, 'tenant', 'task_id', 'url', 'event', 'event_id', 'trace_id',
    'traceparent', 'tries', 'endpoint', 'asked')
  if not f[1] then return redis.call('ZREM', P .. 'outbox', id) end
  local d = {tenant = f[1], task = f[2], event = f[4], event_id = f[5], trace_id = f[6], traceparent = f[7],
    tries = f[8], endpoint = f[9]}
  local url, secrets = f[3], {}
  if d.endpoint ~= '' then
    local endpoint = endpoint_of(d.tenant, d.endpoint)
    if endpoint.refused then return give_up(id, endpoint.refused) end
    url, secrets = endpoint.url, endpoint.secrets
  end
  local origin = origin_of(url)
  local destination = d.tenant .. '/' .. (d.endpoint ~= '' and d.endpoint or origin)
  local own, all = places[destination] or tonumber(ARGV[4]), places[d.tenant] or tonumber(ARGV[5])
  if own == -1 and f[10] == '1' and d.tries == '0' then own = 1 end -- somebody waits for it, so it is the probe
  if own <= 0 or all <= 0 then
    crowd[#crowd + 1] = {id, own <= 0 and destination or d.tenant, own == -1}
  elseif lease_to(id, d, url, secrets, origin, destination) then
    places[destination], places[d.tenant] = own - 1, all - 1
  end
end

for _, id in ipairs(due) do
  if #given == most then break end
  looked_at = looked_at + 1
  serve(id)
end

-- A full window may hide others: what found no place makes room for the next look.
for _, entry in ipairs(crowd) do
  if entry[3] or looked_at == WINDOW then
    redis.call('ZADD', P .. 'outbox', NOW + (put_off[entry[2]] or tonumber(ARGV[6])), entry[1])
  end
end
return {(looked_at < #due or #due == WINDOW) and 1 or 0, given, math.floor(NOW / 1000)}
