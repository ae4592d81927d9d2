-- INPUT_SETTLE: answer an entry and take it out of the pending list, in one step.
-- KEYS: 1 pending list, 2 key of the answer; left out when nobody can be answered
-- ARGV: 1 entry id, 2 answer as JSON, 3 s the answer is kept
-- -> 1 taken out | 0 somebody else has done it
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, 255)) do
  if string.match(entry, '^\1(%S+) ') == ARGV[1] then
    redis.call('LREM', KEYS[1], 1, entry)
    if KEYS[2] then redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3]) end
    return 1
  end
end
return 0
