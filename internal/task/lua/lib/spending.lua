-- What runs use, counted while they use it. Reports are absolute, so one that is sent twice adds nothing: field `spent`
-- has what of the attempt is counted already, "<claim> <agent> <amounts>", and only the difference is added to the
-- day of the tenant and of each `budget` gate, on the day it is told. The deployment's counters, which must never
-- go back (an agent's own price replaces our estimate), get all of it at once, when the claim ends.

local AMOUNTS = {'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_creation_tokens', 'unpriced_tokens', 'cost_usd'}
local DAY_TTL = 172800   -- s; a day's counters outlive it by one day, to be read

local function words_of(line)
  local words = {}
  for word in string.gmatch(line or '', '%S+') do words[#words + 1] = word end
  return words
end
local function add(key, name, amount)
  if amount == 0 then return end
  if string.find(name, 'usd', 1, true) then
    redis.call('HINCRBYFLOAT', key, name, string.format('%.6f', amount))
  else
    redis.call('HINCRBY', key, name, text(amount))
  end
end

-- The deployment's share of what the ended attempt has used.
local function settle(t)
  local spent = words_of(t.f.spent)
  if #spent == 0 then return end
  local agent = spent[2]
  for i, name in ipairs(AMOUNTS) do
    local is_kind = name ~= 'cost_usd' and name ~= 'unpriced_tokens'
    add(P .. 'counters', is_kind and 'tokens:' .. agent .. ':' .. name or name .. ':' .. agent, tonumber(spent[i + 2]))
  end
  clear(t, 'spent')
end

-- The day of the tenant, and that of each budget the task stands under. used: differences by name
local function add_to_day(t, used)
  local usage = tenant_key(t.tenant, 'usage:' .. today())
  for _, name in ipairs({'input_tokens', 'output_tokens', 'unpriced_tokens', 'cost_usd'}) do add(usage, name, used[name]) end
  redis.call('EXPIRE', usage, DAY_TTL)
  local tokens = used.input_tokens + used.output_tokens + used.cache_creation_tokens
  for _, gate in ipairs(gates_of(t)) do
    if gate.kind == 'budget' then
      local spent, all = spent_key(gate.key), P .. 'spent:' .. today()
      add(spent, 'usd', used.cost_usd)
      add(spent, 'tokens', tokens)
      add(spent, 'unpriced_tokens', used.unpriced_tokens)
      if redis.call('ZADD', all, NOW, gate.key) == 1 and string.sub(gate.key, 1, 12) == 'budget:repo:' then
        local repo_url = redis.call('HGET', task_key(t.ref), 'repo_url')
        if repo_url then redis.call('HSET', spent, 'repo_url', repo_url) end
      end
      redis.call('EXPIRE', spent, DAY_TTL)
      redis.call('EXPIRE', all, DAY_TTL)
    end
  end
end

-- Note what the attempt has used so far. report, from ARGV[first] on: usage of the iteration as JSON, usage of all runs
-- as JSON, agent, amounts of the attempt (absolute, in the order of AMOUNTS), unpriced tokens of the iteration, of all runs
local function spend(t, first)
  local usage, total, agent, amounts = ARGV[first], ARGV[first + 1], ARGV[first + 2], words_of(ARGV[first + 3])
  assert(#amounts == #AMOUNTS, 'not a usage')
  local before, used, is_new = words_of(t.f.spent), {}, false
  local is_stale = #before > 0 and before[1] ~= t.f.claim       -- an older process took that claim back
  for i, name in ipairs(AMOUNTS) do
    used[name] = assert(tonumber(amounts[i])) - (is_stale and 0 or tonumber(before[i + 2] or 0))
    is_new = is_new or used[name] ~= 0
  end
  if is_stale then settle(t) end
  if is_new then add_to_day(t, used) end
  set(t, {spent = t.f.claim .. ' ' .. agent .. ' ' .. table.concat(amounts, ' '), usage = usage, usage_total = total})
  for i, name in ipairs({'unpriced', 'unpriced_total'}) do
    local tokens = ARGV[first + 3 + i]
    if tokens == '0' then clear(t, name) else set(t, {[name] = tokens}) end
  end
end
