-- Asks a node to drain: it reads the mark with its next renewal.
-- KEYS  1 node
-- Returns 0 when there is no such node.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'drain', '1')
return 1
