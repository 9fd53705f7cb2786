-- Answers a client's request, if nobody has yet, and removes it.
-- KEYS  1 requests  2 replies: those that the client's session may have missed, the latest first: the request's id, frame
-- ARGV  1 consumer group  2 id of the entry  3 id of the request  4 frame for the client, or empty: no answer
--       5 life of replies in ms  6 client channel  7 the answer as it is pushed  8 most replies that are kept
-- ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH': see script.go.
-- Returns 1 when this was the answer.
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 or ARGV[4] == '' then
  return 0
end
redis.call('LPUSH', KEYS[2], ARGV[4], ARGV[3])
redis.call('LTRIM', KEYS[2], 0, 2 * tonumber(ARGV[8]) - 1)
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call(ANNOUNCE, ARGV[6], ARGV[7])
return 1
