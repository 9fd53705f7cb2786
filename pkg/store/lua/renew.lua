-- Takes a node's lease, or renews it. One that ran out can be taken again for as long as nobody has claimed the node.
-- KEYS  1 node  2 claim on it, see claim.lua  3 the registry of nodes, unless this is a Cluster
-- ARGV  1 lease in ms  2 url  3 started in ms  4 connections  5 1 when it drains  6 its name, with KEYS 3
-- Returns {} when the node is claimed, else {when the lease was taken in ms, 0 or 1 when it was asked to drain}.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return {}
end
local time = ms(now())
redis.call('HSETNX', KEYS[1], 'taken', time)
redis.call('HSET', KEYS[1], 'url', ARGV[2], 'started', ARGV[3], 'renewed', time, 'conns', ARGV[4], 'draining', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if KEYS[3] then
  redis.call('SADD', KEYS[3], ARGV[6])
end
return {tonumber(redis.call('HGET', KEYS[1], 'taken')), redis.call('HEXISTS', KEYS[1], 'drain')}
