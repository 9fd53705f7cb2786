-- Puts a client's request where backends find it.
-- KEYS  1 requests
-- ARGV  1 request  2 most that wait  3 age in ms at which nobody waits any more  4 hint channel  5 partition
-- Returns 'ok', 'none' when no backend has ever asked for requests, or 'busy'.
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then
  local t = redis.call('TIME')
  local old = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) - tonumber(ARGV[3])
  redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', old))
  if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then
    return 'busy'
  end
end
-- The consumer group of the first backend makes the stream.
if not redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', 'r', ARGV[1]) then
  return 'none'
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 'ok'
