-- Takes or renews a lock.
-- KEYS  1 lock
-- ARGV  1 token of the holder  2 life in ms
-- Returns 1 when the caller holds it now.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
