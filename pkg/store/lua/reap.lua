-- Removes connections of a dead node, a batch at a time. Nothing was heard of it for as long as its lease, so a client whose
-- last connection this was goes offline when what is left of its grace is over, which is nearly always nothing.
-- KEYS  1 leaving  2 last  3 node  4 mark of nodes that were struck off
-- ARGV  1 node  2 prefix of conns keys  3 size of the batch  4 prefix of resume marks  5 their life in s
--       6 prefix of marks of ended connections  7 their life in s
-- Globals of the text: REAPED what a resume mark holds
-- Returns how many are left.
local time = now()
-- What the node has sent may still be on its way: see connect.lua.
redis.call('SET', KEYS[4], 1, 'EX', ARGV[7])
local batch = redis.call('HRANDFIELD', KEYS[3], ARGV[3], 'WITHVALUES')
for i = 1, #batch, 2 do
  local conn, client = batch[i], batch[i + 1]
  local conns = ARGV[2] .. client
  local value = redis.call('HGET', conns, conn)
  -- A node that came back under a new name has registered the connection again: then it is not ours any more.
  local c = value and split(value)
  if c and c.node == ARGV[1] then
    redis.call('HDEL', conns, conn)
    if c.over then -- the node may come back with it
      redis.call('SET', ARGV[6] .. conn, tostring(c.over), 'EX', ARGV[7])
    else
      redis.call('SET', ARGV[4] .. conn, REAPED, 'EX', ARGV[5])
    end
    if redis.call('HLEN', conns) == 0 then
      redis.call('ZADD', KEYS[1], ms(time + (c.grace or 0)), client)
      redis.call('HSET', KEYS[2], client, value)
    end
  end
  redis.call('HDEL', KEYS[3], conn)
end
return redis.call('HLEN', KEYS[3])
