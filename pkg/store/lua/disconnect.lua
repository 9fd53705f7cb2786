-- Removes connections that ended. The client's last one starts its grace; one that is not registered is skipped.
-- KEYS  1 leaving  2 last
-- ARGV  1 grace in ms  2 prefix of conns keys  3 prefix of node keys  4 prefix of resume marks  5 their life in s
--       6 prefix of marks of ended connections, then triples: clientId, connId, 1 when the connection may be resumed
-- Returns how many were removed.
local due = ms(now() + tonumber(ARGV[1]))
local removed = 0
for i = 7, #ARGV, 3 do
  local client, conn = ARGV[i], ARGV[i + 1]
  local conns = ARGV[2] .. client
  local value = redis.call('HGET', conns, conn)
  if value then
    local c = split(value)
    removed = removed + 1
    redis.call('HDEL', conns, conn)
    redis.call('HDEL', ARGV[3] .. c.node, conn)
    if ARGV[i + 2] == '1' and not c.over then
      redis.call('SET', ARGV[4] .. conn, client, 'EX', ARGV[5])
    end
    if redis.call('HLEN', conns) == 0 then
      redis.call('ZADD', KEYS[1], due, client)
      redis.call('HSET', KEYS[2], client, value)
    end
  else
    redis.call('DEL', ARGV[6] .. conn) -- it was ended, and now its node knows
  end
end
return removed
