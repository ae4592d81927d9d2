#!lua flags=allow-oom
-- SPEND: what a run has used so far; asks how its day budgets stand.
-- ARGV: 1 ref, 2 token, 3-8 the report as `spend` has it
-- -> {'ok', then per limit of a day budget: gate, usd|tokens, spent today, limit} | {'fenced'}
local t = read(ARGV[1], 'token', 'claim', 'gates', 'spent')
if not t.f.token or t.f.token ~= ARGV[2] then return {'fenced'} end
spend(t, 3)
save(t)

local out, gates = {'ok'}, gates_of(t)
local limits = limits_of(gates)
for n, gate in ipairs(gates) do
  if gate.kind == 'budget' and limits[n] then
    local spent = redis.call('HMGET', spent_key(gate.key), 'usd', 'tokens')
    for i, unit in ipairs({'usd', 'tokens'}) do
      local limit = limits[n][unit]
      if limit then
        for _, word in ipairs({gate.key, unit, spent[i] or '0', tostring(limit)}) do out[#out + 1] = word end
      end
    end
  end
end
return out
