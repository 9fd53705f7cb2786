-- Raises the fence of a partition; it never falls.
--
-- KEYS  1 epoch
-- ARGV  1 the new fence    2 optional: raise it only if this is the fence so far, "0" if there is none
-- returns the fence that holds now, as a string

local now = redis.call('GET', KEYS[1])
local fence = tonumber(now) or 0
if fence >= tonumber(ARGV[1]) or ARGV[2] and fence ~= tonumber(ARGV[2]) then
  return now or '0'
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
