-- Reads events of one partition for a consumer group. The partition belongs to one consumer at a time; reading takes or
-- renews it. All read under one name, so what a dead consumer had in hand is found by the next.
-- KEYS  1 events  2 lock
-- ARGV  1 token of the consumer  2 life of the lock in ms  3 consumer group  4 name they share  5 most entries
--       6 1 when the caller already went through what was left in hand
-- Returns {0} when another holds the partition, else
--         {1, 1 when these are entries left in hand, {{id, {field, value}}, …}}
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return {0}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
-- Whoever has just got the partition starts with what its predecessor had not acknowledged.
local old = (not holder or ARGV[6] ~= '1') and 1 or 0
local got
if old == 1 then
  got = redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'STREAMS', KEYS[1], '0')
  if not got or #got[1][2] == 0 then
    old, got = 0, nil
  end
end
if old == 0 then
  got = redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'STREAMS', KEYS[1], '>')
end
return {1, old, got and got[1][2] or {}}
