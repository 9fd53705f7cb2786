-- Step 2 of a membership change: the index, in the group's partition.
-- KEYS  1 members  2 grouplist  3 the group's stream  4 epoch
-- ARGV  1 group, then pairs: clientId, 1 to add or 0 to remove
-- Returns the stream's tail: what is published from now on comes after it. An empty one ends at <fence>-0.
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '1' then
    redis.call('ZADD', KEYS[1], 0, ARGV[i])
  else
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
local tail = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
return tail[1] and tail[1][1] or (redis.call('GET', KEYS[4]) or '0') .. '-0'
