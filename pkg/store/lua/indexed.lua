-- Looks whether the index has a member, and where the group's stream ends.
-- KEYS  1 members  2 the group's stream
-- ARGV  1 clientId
-- Returns {1 or 0, tail}.
local tail = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0, tail[1] and tail[1][1] or '0-0'}
