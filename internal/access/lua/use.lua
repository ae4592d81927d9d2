#!lua flags=allow-oom
-- USE: what a token may do; notes that it was used, at most once a minute.
-- KEYS: 1 the token (hash)   ARGV: 1 s between two notes
-- -> {tenant, name, scopes, ms when it expires or ''} | {} there is no such token
local token = redis.call('HMGET', KEYS[1], 'tenant', 'name', 'scopes', 'expires_at', 'last_used_at')
if not token[1] then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now - tonumber(token[5] or 0) >= ARGV[1] * 1000 then
  redis.call('HSET', KEYS[1], 'last_used_at', string.format('%d', now))
end
return {token[1], token[2], token[3], token[4] or ''}
