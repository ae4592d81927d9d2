#!lua flags=allow-oom
-- MARK: write what is there already. WAIT counts from the connection's own last write, and a repeat that finds its
-- work done, by another connection, writes nothing: without this WAIT would confirm what no replica has.
-- KEYS: 1 prefix of all keys
-- -> 1
redis.call('HSET', KEYS[1] .. 'contact', 'mark', '1')
return 1
