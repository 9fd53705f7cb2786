-- Tells that a consumer of events is alive, and who else is.
-- KEYS  1 consumers
-- ARGV  1 token of the consumer  2 how long one counts as alive, in ms
-- Returns the tokens of all that are alive.
local time = now()
redis.call('ZADD', KEYS[1], ms(time), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ms(time - tonumber(ARGV[2])))
return redis.call('ZRANGE', KEYS[1], 0, -1)
