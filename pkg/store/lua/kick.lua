-- Tells the nodes to close connections of a client. They stay registered until their nodes have closed them, with a mark
-- that they are over, for a node that cannot hear it now.
-- KEYS  1 conns
-- ARGV  1 clientId  2 connId or empty  3 device or empty  4 close code  5 client channel
-- ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH': see script.go.
-- Returns how many registered connections match.
local n = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local c = split(all[i + 1])
  if (ARGV[2] == '' or ARGV[2] == all[i]) and (ARGV[3] == '' or ARGV[3] == c.device) then
    n = n + 1
    if not c.over then
      redis.call('HSET', KEYS[1], all[i], '{"over":' .. ARGV[4] .. ',' .. string.sub(all[i + 1], 2))
    end
  end
end
if n > 0 then
  redis.call(ANNOUNCE, ARGV[5],
    'K\n' .. ARGV[1] .. '\n' .. ARGV[2] .. '\n' .. ARGV[3] .. '\n' .. ARGV[4] .. '\n')
end
return n
