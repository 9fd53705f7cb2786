-- Acknowledges an event that was handled and renews the partition.
-- KEYS  1 events  2 lock
-- ARGV  1 token of the consumer  2 life of the lock in ms  3 consumer group  4 id of the entry
-- Returns 1 while the caller holds the partition.
redis.call('XACK', KEYS[1], ARGV[3], ARGV[4])
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return 1
end
return 0
