-- Raises the fence of a partition; it never falls.
--
-- KEYS  1 epoch
-- ARGV  1 the new fence
-- returns the fence that holds now, as a string

local now = redis.call('GET', KEYS[1])
if now and tonumber(now) >= tonumber(ARGV[1]) then
  return now
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
