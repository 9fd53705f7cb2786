-- Finds the connections of a node that have to be closed, or that are not registered as its own.
-- KEYS  1 mark of nodes that were struck off
-- ARGV  1 prefix of conns keys  2 prefix of marks of ended connections  3 prefix of clients' revocations
--       4 prefix of URLs' revocations  5 close code of revoked connections  6 node, then triples: clientId, connId, jti or empty
-- Returns {1 when the node was struck off, else 0, then pairs}: the triple's place from 0, and why it has to be closed, or ''
-- when it is not registered or under another node's name. There is none for a connection that is as it should be.
local result = {redis.call('EXISTS', KEYS[1])}
for i = 7, #ARGV, 3 do
  local client, conn, jti = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local why, revoked
  if jti == '' then
    revoked = redis.call('EXISTS', ARGV[3] .. client)
  else
    revoked = redis.call('EXISTS', ARGV[3] .. client, ARGV[4] .. jti)
  end
  if revoked > 0 then
    why = ARGV[5]
  else
    local value = redis.call('HGET', ARGV[1] .. client, conn)
    if not value then
      why = redis.call('GET', ARGV[2] .. conn) or ''
    else
      local c = split(value)
      if c.over then
        why = tostring(c.over)
      elseif c.node ~= ARGV[6] then -- under a name that the node had before, and that somebody will strike off
        why = ''
      end
    end
  end
  if why then
    result[#result + 1] = tostring((i - 7) / 3)
    result[#result + 1] = why
  end
end
return result
