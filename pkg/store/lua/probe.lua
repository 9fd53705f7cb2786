-- Proves that what is written here is heard there: writes first, as a send does, so that a replica or a full Redis
-- refuses it, then announces.
-- KEYS  1 probe
-- ARGV  1 value  2 channel  3 life of the key in s
-- ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH': see script.go.
-- Returns 1.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
redis.call(ANNOUNCE, ARGV[2], ARGV[1])
return 1
