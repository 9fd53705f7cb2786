-- Saves acknowledged positions of one device. They only rise: two connections of a device may report out of order.
-- KEYS  1 cursor
-- ARGV  1 life in s, then pairs: field, position
-- Returns how many rose.
local function less(a, b)
  local ae, as = string.match(a, '^(%d+)%-(%d+)$')
  local be, bs = string.match(b, '^(%d+)%-(%d+)$')
  ae, as, be, bs = tonumber(ae), tonumber(as), tonumber(be), tonumber(bs)
  return ae < be or (ae == be and as < bs)
end
local rose = 0
for i = 2, #ARGV, 2 do
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  if not old or less(old, ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    rose = rose + 1
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return rose
