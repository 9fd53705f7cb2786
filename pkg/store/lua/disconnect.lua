-- Removes connections that ended. The client's last one starts its grace; one that is not registered is skipped.
-- KEYS  1 leaving  2 last
-- ARGV  1 grace in ms  2 prefix of conns keys  3 prefix of node keys  4 prefix of resume marks  5 their life in s
--       6 prefix of marks of ended connections  7 their life in s, then triples: clientId, connId, and the sum of 1 when the
--       connection may be resumed and 2 when what registers it may still be on its way
-- Returns how many were removed.
local due = ms(now() + tonumber(ARGV[1]))
local removed = 0
for i = 8, #ARGV, 3 do
  local client, conn = ARGV[i], ARGV[i + 1]
  local conns, how = ARGV[2] .. client, tonumber(ARGV[i + 2])
  local value = redis.call('HGET', conns, conn)
  if value then
    local c = split(value)
    removed = removed + 1
    redis.call('HDEL', conns, conn)
    redis.call('HDEL', ARGV[3] .. c.node, conn)
    if how % 2 == 1 and not c.over then
      redis.call('SET', ARGV[4] .. conn, 1, 'EX', ARGV[5])
    end
    if redis.call('HLEN', conns) == 0 then
      redis.call('ZADD', KEYS[1], due, client)
      redis.call('HSET', KEYS[2], client, value)
    end
  elseif redis.call('GET', ARGV[6] .. conn) ~= '0' then
    redis.call('DEL', ARGV[6] .. conn) -- it was ended, and now its node knows
  end
  if how >= 2 then -- what registers it must find this: see connect.lua
    redis.call('SET', ARGV[6] .. conn, '0', 'EX', ARGV[7])
  end
end
return removed
