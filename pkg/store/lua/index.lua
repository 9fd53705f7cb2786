-- Step 2 of a membership change: the index, in the group's partition.
-- KEYS  1 members  2 grouplist  3 the group's stream  4 epoch
-- ARGV  1 group  2 in a Cluster the group's channel, else empty; then pairs: clientId, 1 to add or 0 to remove
-- ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH': see script.go.
-- Returns the stream's tail: what is published from now on comes after it. An empty one ends at <fence>-0.
for i = 3, #ARGV, 2 do
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
tail = tail[1] and tail[1][1] or (redis.call('GET', KEYS[4]) or '0') .. '-0'
if ARGV[2] ~= '' then -- another server tells that somebody has left, and may be heard after what is published here from now on
  for i = 3, #ARGV, 2 do
    if ARGV[i + 1] == '0' then
      redis.call(ANNOUNCE, ARGV[2], 'U\n' .. ARGV[i] .. '\n' .. ARGV[1] .. '\n' .. tail .. '\n')
    end
  end
end
return tail
