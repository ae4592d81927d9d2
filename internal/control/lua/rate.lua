-- RATE: count one call against a sliding window, unless the window is full.
-- Every counted call is in the set until it is as old as the window; a refused one is not counted, so asking again
-- and again delays nobody. Calls in the same millisecond are different members.
-- KEYS: 1 the window (zset: call id by time in ms)   ARGV: 1 call id, 2 most calls, 3 ms of the window
-- -> {1 granted or 0 refused, calls left, ms until the oldest counted call leaves, ms until a call is possible}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, window = tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now - window))
local count = redis.call('ZCARD', KEYS[1])
local granted = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0   -- 1: repeated by the client library
if granted == 0 and count < most then
  redis.call('ZADD', KEYS[1], string.format('%d', now), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], string.format('%d', window))
  granted, count = 1, count + 1
end
local function leaves(rank)                                          -- ms until the call at that rank leaves
  local call = redis.call('ZRANGE', KEYS[1], rank, rank, 'WITHSCORES')
  return call[2] and call[2] + window - now or 0
end
local full = count >= most
return {granted, math.max(most - count, 0), leaves(0), full and leaves(count - most) or 0}
