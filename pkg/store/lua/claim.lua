-- Claims a node whose lease has run out: from now on it cannot take the lease again, and may be struck off.
-- KEYS  1 node  2 claim on it
-- ARGV  1 life of the claim in s
-- Returns 1 when it is claimed, by whomever, and 0 when it has a lease.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('SET', KEYS[2], 1, 'EX', ARGV[1])
return 1
