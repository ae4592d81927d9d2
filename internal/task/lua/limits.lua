-- LIMITS: what the policy allows, in place of what it allowed before.
-- ARGV: pairs field, value of the hash `limits`
-- -> {'ok'}
-- What an escalation has lowered (`throttle:<gate key>`) stays.
local key, wanted, gone = P .. 'limits', {}, {}
for i = 1, #ARGV, 2 do
  wanted[ARGV[i]] = ARGV[i + 1]
  if string.match(ARGV[i], '^rate:') or string.match(ARGV[i], '^budget:') then wanted.kinds = 'all' end
end
for _, field in ipairs(redis.call('HKEYS', key)) do
  if not wanted[field] and not string.match(field, '^throttle:') then gone[#gone + 1] = field end
end
for _, field in ipairs(gone) do redis.call('HDEL', key, field) end
for field, value in pairs(wanted) do redis.call('HSET', key, field, value) end
return {'ok'}
