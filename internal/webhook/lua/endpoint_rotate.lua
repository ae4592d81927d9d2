-- ENDPOINT_ROTATE: a new secret signs from now on; the one before is valid for a while beside it.
-- ARGV: 1 tenant, 2 endpoint id, 3 operation id, 4 revision of the new secret, 5 the secret, sealed,
--       6 ms for which the old one stays valid, 7 most old ones
-- -> {'ok'} | {'again', revision} somebody else rotated meanwhile: seal as the one behind it | {'missing'}
local record, revision = tenant_key(ARGV[1], 'webhook:' .. ARGV[2]), tonumber(ARGV[4])
local known = redis.call('HMGET', record, 'url', 'revision', 'rotated')
if not known[1] then return {'missing'} end
if known[3] == ARGV[3] then return {'ok'} end
if tonumber(known[2]) ~= revision - 1 then return {'again', tonumber(known[2])} end
redis.call('HSET', record, 'rotated', ARGV[3], 'revision', text(revision), 'secret:' .. text(revision), ARGV[5],
  'until:' .. text(revision - 1), text(NOW + tonumber(ARGV[6])))
for old = revision - 1, 1, -1 do
  local ends = redis.call('HGET', record, 'until:' .. text(old))
  if not ends then break end
  if tonumber(ends) <= NOW or old < revision - tonumber(ARGV[7]) then
    redis.call('HDEL', record, 'secret:' .. text(old), 'until:' .. text(old))
  end
end
return {'ok'}
