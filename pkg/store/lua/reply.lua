-- Answers a client's request, if nobody has yet, and removes it.
-- KEYS  1 requests  2 replies: those that the client's session may have missed, by the request's id
-- ARGV  1 consumer group  2 id of the entry  3 id of the request  4 frame for the client, or empty: no answer
--       5 life of replies in ms  6 client channel  7 the answer as it is pushed
-- Returns 1 when this was the answer.
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 or ARGV[4] == '' then
  return 0
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1
