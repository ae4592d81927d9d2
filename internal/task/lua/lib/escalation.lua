-- Levels of agents, repositories and workers whose runs behave badly (internal/control/escalation.py has the words).
--
-- A *scope* is "agent:<cli>", "repo:<tenant>:<repo>" or "worker:<id>". Its signals are in `signals:<scope>`, its level in
-- `escalation:<scope>` while it has one, and in `escalations` is when REAP looks at it next. What a level does: warn
-- only tells; throttle is a limit of one (`throttle:<scope>`); isolate shuts the gate `hold:<scope>`, or for a worker makes
-- that limit 0; stop marks each claim there (`halt`), and the next heartbeat says so.
--
-- An agent and a worker are shared by tenants: beyond warn, what a level needs there is a fair sum.

local level_key, calm, note_signals, check_escalations
do

local LEVELS = {'warn', 'throttle', 'isolate', 'stop'}
local RANK = {warn = 1, throttle = 2, isolate = 3, stop = 4}
local TOLD = {warn = 'warned', throttle = 'throttled', isolate = 'isolated', stop = 'stopped'}
local OPERATOR = 'default'                                      -- the tenant that hears of agents and workers
local DAY_MS = 86400000
local KEPT = 1024                                               -- newest signals of a scope
local HALTED = 64                                               -- claims marked by one look

function level_key(scope) return P .. 'escalation:' .. scope end
local function signals_key(scope) return P .. 'signals:' .. scope end
local function kind_of_scope(scope) return string.match(scope, '^%a+') end

local function scopes_of(t)
  local scopes = {worker = t.f.worker and 'worker:' .. t.f.worker}
  for _, gate in ipairs(gates_of(t)) do
    local kind = string.match(gate.key, '^(%a+):')
    if kind == 'agent' or kind == 'repo' then scopes[kind] = gate.key end
  end
  return scopes
end

-- A change of level, as metric and webhook. signals: how many led to it; repo_url: of a repository, where it is known
local function tell_level(scope, told, level, reason, signals, repo_url)
  count('escalations:' .. kind_of_scope(scope) .. ':' .. told)
  local tenant, type_ = string.match(scope, '^repo:([^:]+):') or OPERATOR, 'escalation.' .. told
  local to = subscribers(tenant, type_)
  if #to == 0 then return end
  local id = 'escalation-' .. text(NOW) .. '-' .. text(redis.call('HINCRBY', P .. 'counters', 'escalations_told', 1))
  post({id = 'evt_' .. id .. '_0', type = type_, tenant = tenant, task = id, body = '{"type":"' .. type_ .. '","scope":'
    .. quote(scope) .. ',"level":"' .. level .. '","reason":"' .. reason .. '","signals":' .. text(signals)
    .. (repo_url and ',"repo_url":' .. quote(repo_url) or '') .. ',"at":"'
    .. STAMP() .. '"}'}, to)
end

-- Mark what runs in a scope, some at a time; publishing goes on, it runs no agent.
local function halt(scope)
  local worker = string.match(scope, '^worker:(.*)$')
  local held = worker and P .. 'held:' .. worker or gate_key(scope, 'held')
  for _, ref in ipairs(redis.call('SRANDMEMBER', held, HALTED)) do
    local found = redis.call('HMGET', task_key(ref), 'token', 'kind', 'halt')
    if found[1] and found[2] ~= 'publish' and found[3] ~= found[1] then
      redis.call('HSET', task_key(ref), 'halt', found[1])
      redis.call('PUBLISH', P .. 'control', 'halt ' .. ref)
    end
  end
end

-- Note when REAP has to look at a scope next: when it may fall, whether its worker lives, what still runs there.
-- quiet: ms
local function look_again(scope, level, quiet)
  local at = '+inf'
  if level == 'stop' then at = text(NOW + 1000)
  elseif RANK[level] <= RANK.throttle then at = text(NOW + quiet)
  elseif kind_of_scope(scope) == 'worker' then at = text(NOW + 60000) end
  redis.call('ZADD', P .. 'escalations', at, scope)
end
local function enforce(scope, level)
  local is_worker, rank = kind_of_scope(scope) == 'worker', RANK[level]
  local most = is_worker and rank >= RANK.isolate and '0' or '1'
  if rank >= RANK.throttle then redis.call('HSET', P .. 'limits', 'throttle:' .. scope, most) end
  if rank >= RANK.isolate and not is_worker then shut_gate('hold:' .. scope, 'released', 'escalation') end
  if level == 'stop' then halt(scope) end
end

-- A scope begins anew: no level, no signals. why: operator | quiet | gone
function calm(scope, why)
  local found = redis.call('HMGET', level_key(scope), 'level', 'signals', 'repo_url')
  redis.call('DEL', level_key(scope), signals_key(scope))
  redis.call('ZREM', P .. 'escalations', scope)
  if not found[1] then return false end
  redis.call('HDEL', P .. 'limits', 'throttle:' .. scope)
  if RANK[found[1]] >= RANK.isolate and kind_of_scope(scope) ~= 'worker' then open_gate('hold:' .. scope) end
  tell_level(scope, 'released', 'none', why, tonumber(found[2]), found[3])
  return true
end

-- How many signals of a kind lie in the window: all, and by tenant.
local function weigh(scope, signal, window)
  local all, by_tenant = 0, {}
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', signals_key(scope), NOW - window, '+inf')) do
    local kind, tenant = string.match(entry, '^(%S+) (%S+) ')
    if kind == signal then
      all = all + 1
      by_tenant[tenant] = (by_tenant[tenant] or 0) + 1
    end
  end
  return all, by_tenant
end
local function level_of(scope, needed, all, by_tenant)
  local level
  local shared = kind_of_scope(scope) ~= 'repo'
  for i, name in ipairs(LEVELS) do
    local signals = shared and i > 1 and fair_sum(by_tenant, needed[i]) or all
    if needed[i] > 0 and signals >= needed[i] then level = name end
  end
  return level
end

local function judge_scope(t, scope, signal, window, quiet, needed)
  local all, by_tenant = weigh(scope, signal, window)
  local level, known = level_of(scope, needed, all, by_tenant), redis.call('HGET', level_key(scope), 'level')
  if level and (not known or RANK[level] > RANK[known]) then
    redis.call('HSETNX', level_key(scope), 'since', text(NOW))
    redis.call('HSET', level_key(scope), 'level', level, 'reason', signal, 'signals', text(all), 'at', text(NOW))
    local repo_url = kind_of_scope(scope) == 'repo' and redis.call('HGET', task_key(t.ref), 'repo_url')
    if repo_url then redis.call('HSET', level_key(scope), 'repo_url', repo_url) end
    enforce(scope, level)
    look_again(scope, level, quiet)
    emit(t, 'control', 'escalation', '{"scope":' .. quote(scope) .. ',"level":"' .. level .. '","reason":"' .. signal .. '"}')
    tell_level(scope, TOLD[level], level, signal, all, repo_url)
  elseif known and RANK[known] <= RANK.throttle then            -- not quiet yet
    look_again(scope, known, quiet)
  end
end

-- Count signals of the attempt of a task in hand, each once for each of its scopes; the caller saves the task.
-- rules: as encode_rules has them. How often this is told for one claim makes no difference.
function note_signals(t, rules)
  local scopes, seen = scopes_of(t), {}
  local form = '(%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)\n'
  for signal, kind, window, quiet, warn, throttle, isolate, stop in string.gmatch(rules, form) do
    local scope = scopes[kind]
    local entry = signal .. ' ' .. t.tenant .. ' ' .. (t.f.claim or '')
    if scope and redis.call('ZADD', signals_key(scope), 'NX', NOW, entry) == 1 then
      redis.call('ZREMRANGEBYSCORE', signals_key(scope), '-inf', NOW - DAY_MS)
      redis.call('ZREMRANGEBYRANK', signals_key(scope), 0, -KEPT - 1)
      redis.call('PEXPIRE', signals_key(scope), DAY_MS)
      if not seen[signal] then count('signals:' .. signal) end
      seen[signal] = true
      local needed = {tonumber(warn), tonumber(throttle), tonumber(isolate), tonumber(stop)}
      judge_scope(t, scope, signal, tonumber(window), tonumber(quiet), needed)
    end
  end
end

-- What time does to levels: the light ones end when it was quiet, and what is stopped is looked at again.
function check_escalations()
  for _, scope in ipairs(redis.call('ZRANGEBYSCORE', P .. 'escalations', '-inf', NOW, 'LIMIT', 0, 16)) do
    local level, worker = redis.call('HGET', level_key(scope), 'level'), string.match(scope, '^worker:(.*)$')
    if worker and redis.call('EXISTS', P .. 'worker:' .. worker) == 0 then calm(scope, 'gone')
    elseif not level or RANK[level] <= RANK.throttle then calm(scope, 'quiet')
    else
      if level == 'stop' then halt(scope) end
      look_again(scope, level)
    end
  end
end

end
