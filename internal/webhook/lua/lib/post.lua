-- Deliveries: one event for one destination, the callback_url of its task or a registered endpoint.
--
-- The event's id is that of every delivery of it, and the delivery's id adds the endpoint: a script that is sent
-- twice writes the same deliveries. The body is kept once per event, beside the task, and goes with it.

local DELIVERY_TTL = 2592000                                    -- s (30 days)
local NEWEST = 10000                                            -- deliveries a tenant can list
local OF_A_TASK = 1000                                          -- deliveries of one task that are listed, and erased with it
local TRIMMED = 64                                              -- most entries one call takes out of an index

-- What is beyond the limits leaves the index; a record goes too, unless its delivery still waits.
local function trim_deliveries(tenant)
  local index = tenant_key(tenant, 'deliveries')
  local past = redis.call('ZCOUNT', index, '-inf', NOW - DELIVERY_TTL * 1000)
  local extra = math.max(past, redis.call('ZCARD', index) - NEWEST)
  if extra <= 0 then return end
  for _, id in ipairs(redis.call('ZRANGE', index, 0, math.min(extra, TRIMMED) - 1)) do
    redis.call('ZREM', index, id)
    if redis.call('HEXISTS', P .. 'delivery:' .. id, 'status') == 1 then redis.call('UNLINK', P .. 'delivery:' .. id) end
  end
end

-- event: {id, type, tenant, task, trace_id, traceparent, body, asked: '1' when somebody waits for it}; 
-- to: list of {url = ...}, with a name where there are several, or {endpoint = ...}
local function post(event, to)
  if #to == 0 then return end
  local task = tenant_key(event.tenant, 'task:' .. event.task)
  redis.call('HSET', task .. ':bodies', event.id, event.body)
  redis.call('EXPIRE', task .. ':bodies', DELIVERY_TTL)
  for _, destination in ipairs(to) do
    local endpoint = destination.endpoint or ''
    local name = destination.endpoint or destination.name
    local id = name and event.id .. '_' .. name or event.id
    redis.call('HSET', P .. 'delivery:' .. id, 'id', id, 'event_id', event.id, 'event', event.type, 'tenant', event.tenant,
      'task_id', event.task, 'endpoint', endpoint, 'url', destination.url or '', 'trace_id', event.trace_id or '',
      'traceparent', event.traceparent or '',
      'created_at', text(NOW), 'attempts', '0', 'tries', '0',
      'asked', event.asked or '')
    redis.call('ZADD', P .. 'outbox', NOW, id)
    redis.call('ZADD', tenant_key(event.tenant, 'deliveries'), NOW, id)
    redis.call('ZADD', task .. ':deliveries', NOW, id)
  end
  redis.call('ZREMRANGEBYRANK', task .. ':deliveries', 0, -OF_A_TASK - 1)
  redis.call('EXPIRE', task .. ':deliveries', DELIVERY_TTL)
  trim_deliveries(event.tenant)
  redis.call('EXPIRE', tenant_key(event.tenant, 'deliveries'), DELIVERY_TTL)
  ring(P .. 'outbox:bell')
end

-- The registered endpoints of a tenant that want events of this type.
local function subscribers(tenant, type_)
  local known, found = redis.call('HGETALL', tenant_key(tenant, 'webhooks')), {}
  for i = 1, #known, 2 do
    if string.find(' ' .. known[i + 1] .. ' ', ' ' .. type_ .. ' ', 1, true) then found[#found + 1] = {endpoint = known[i]} end
  end
  return found
end

-- Erase everything of a task; what waits is never sent, what is on its way is not recorded.
local function erase_deliveries(tenant, task_id)
  local task = tenant_key(tenant, 'task:' .. task_id)
  for _, id in ipairs(redis.call('ZRANGE', task .. ':deliveries', 0, -1)) do
    redis.call('UNLINK', P .. 'delivery:' .. id)
    redis.call('ZREM', P .. 'outbox', id)
    redis.call('ZREM', tenant_key(tenant, 'deliveries'), id)
  end
  redis.call('UNLINK', task .. ':bodies', task .. ':deliveries')
end
