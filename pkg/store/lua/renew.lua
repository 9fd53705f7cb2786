-- Renews a node's lease.
-- KEYS  1 node  2 the registry of nodes, unless this is a Cluster
-- ARGV  1 1 to register it  2 lease in ms  3 url  4 started in ms  5 connections  6 1 when it drains  7 its name, with KEYS 2
-- Returns {0 or 1 when the lease is gone, 0 or 1 when it was asked to drain}.
if ARGV[1] ~= '1' and redis.call('EXISTS', KEYS[1]) == 0 then
  return {1, 0}
end
redis.call('HSET', KEYS[1], 'url', ARGV[3], 'started', ARGV[4], 'renewed', ms(now()), 'conns', ARGV[5],
  'draining', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if KEYS[2] then
  redis.call('SADD', KEYS[2], ARGV[7])
end
return {0, redis.call('HEXISTS', KEYS[1], 'drain')}
