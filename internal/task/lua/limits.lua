#!lua flags=allow-oom
-- LIMITS: what the policy allows, in place of what it allowed before.
-- ARGV: pairs field, value of the hash `limits`
-- -> {'ok'}
-- What an escalation has lowered (`throttle:<gate key>`) stays, and that one run of a deduplication key goes on at a time.
local key, wanted, gone = P .. 'limits', {}, {}
local function stays(field) return field == 'dedup:*' or string.match(field, '^throttle:') end
for i = 1, #ARGV, 2 do
  wanted[ARGV[i]] = ARGV[i + 1]
  if string.match(ARGV[i], '^rate:') or string.match(ARGV[i], '^budget:') then wanted.kinds = 'all' end
end
for _, field in ipairs(redis.call('HKEYS', key)) do
  if not wanted[field] and not stays(field) then gone[#gone + 1] = field end
end
for _, field in ipairs(gone) do redis.call('HDEL', key, field) end
for field, value in pairs(wanted) do redis.call('HSET', key, field, value) end
return {'ok'}
