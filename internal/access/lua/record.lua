-- RECORD: add one entry to a tenant's audit log, and let go of what is too old or too much.
-- KEYS: 1 the log (stream), 2 mark of this entry
-- ARGV: 1 entry as JSON, 2 most entries, 3 days an entry is kept
-- -> 1 added | 0 it is there already (the client library repeated the call)
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', 60) then return 0 end
local seconds = ARGV[3] * 86400
local oldest = (redis.call('TIME')[1] - seconds) * 1000
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[1])
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', oldest))
redis.call('EXPIRE', KEYS[1], string.format('%d', seconds))
return 1
