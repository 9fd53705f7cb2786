-- Tells the nodes to close connections of a client.
-- KEYS  1 conns
-- ARGV  1 clientId  2 connId or empty  3 device or empty  4 close code  5 client channel
-- Returns how many registered connections match.
local n = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if (ARGV[2] == '' or ARGV[2] == all[i]) and (ARGV[3] == '' or ARGV[3] == split(all[i + 1]).device) then
    n = n + 1
  end
end
if n > 0 then
  redis.call('PUBLISH', ARGV[5],
    'K\n' .. ARGV[1] .. '\n' .. ARGV[2] .. '\n' .. ARGV[3] .. '\n' .. ARGV[4] .. '\n')
end
return n
