-- Looks whether the index has a member, and where the group's stream ends.
-- KEYS  1 members  2 the group's stream  3 epoch
-- ARGV  1 clientId
-- Returns {1 or 0, tail}; an empty stream ends at <fence>-0.
local tail = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
return {redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0, 
  tail[1] and tail[1][1] or (redis.call('GET', KEYS[3]) or '0') .. '-0'}
