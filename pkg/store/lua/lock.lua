-- Takes or renews a lock.
-- KEYS  1 lock
-- ARGV  1 token of the holder  2 life in ms
-- Returns -1 when another one holds it; else for how many ms the caller had not renewed it, which is its life when it did
-- not hold it any more.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  local idle = math.max(0, ARGV[2] - redis.call('PTTL', KEYS[1]))
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return idle
end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and tonumber(ARGV[2]) or -1
