-- Removes connections that ended. The client's last one starts its grace; one that is not registered is skipped.
-- KEYS  1 leaving  2 last
-- ARGV  1 grace in ms  2 prefix of conns keys  3 prefix of node keys, then pairs: clientId, connId
-- Returns how many were removed.
local due = ms(now() + tonumber(ARGV[1]))
local removed = 0
for i = 4, #ARGV, 2 do
  local client, conn = ARGV[i], ARGV[i + 1]
  local conns = ARGV[2] .. client
  local value = redis.call('HGET', conns, conn)
  if value then
    removed = removed + 1
    redis.call('HDEL', conns, conn)
    redis.call('HDEL', ARGV[3] .. split(value).node, conn)
    if redis.call('HLEN', conns) == 0 then
      redis.call('ZADD', KEYS[1], due, client)
      redis.call('HSET', KEYS[2], client, value)
    end
  end
end
return removed
