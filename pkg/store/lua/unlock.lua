-- Gives a lock back, if the caller still holds it.
-- KEYS  1 lock
-- ARGV  1 token of the holder
-- Returns 1 when it did.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
