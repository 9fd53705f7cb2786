-- Turns clients whose grace is over into offline ones, a batch at a time.
-- KEYS  1 leaving  2 last  3 online  4 events  5 unsynced  6 left
-- ARGV  1 size of the batch  2 prefix of conns keys  3 prefix of groups keys  4 prefix of seen keys  5 life of seen in s
--       6 hint channel  7 partition  8 length of events
-- Returns {clients looked at, clientId, group, …}: the memberships that ended and whose index has to follow.
local time = now()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ms(time), 'LIMIT', 0, ARGV[1])
local result = {#due}
local reported = false
for _, client in ipairs(due) do
  redis.call('ZREM', KEYS[1], client)
  local back = redis.call('EXISTS', ARGV[2] .. client) == 1
  if not back and redis.call('ZREM', KEYS[3], client) == 1 then
    redis.call('SET', ARGV[4] .. client, ms(time), 'EX', ARGV[5])
    local event = {type = 'offline', clientId = client, time = time}
    local meta
    local last = redis.call('HGET', KEYS[2], client)
    if last then
      local c
      c, meta = split(last)
      event.device, event.node = c.device, c.node
    end
    local groups, ended = {}, {}
    local truth = redis.call('HGETALL', ARGV[3] .. client)
    for i = 1, #truth, 2 do
      groups[#groups + 1] = truth[i]
      if string.sub(truth[i + 1], 1, 1) == 'o' then
        ended[#ended + 1] = {truth[i], #truth[i + 1] > 3}
      end
    end
    if #groups > 0 then -- an empty table would be encoded as an object
      table.sort(groups)
      event.groups = groups
    end
    emit(KEYS[4], ARGV[8], event, meta)
    reported = true
    for _, one in ipairs(ended) do
      local group, joined = one[1], one[2]
      redis.call('HDEL', ARGV[3] .. client, group)
      redis.call('HSET', KEYS[5], client .. '\n' .. group .. '\n', ms(time))
      if joined then -- as in truth.lua: its end is reported with step 3
        redis.call('HSET', KEYS[6], client .. '\n' .. group, 1)
      end
      result[#result + 1] = client
      result[#result + 1] = group
    end
  end
  redis.call('HDEL', KEYS[2], client)
end
if reported then
  redis.call('PUBLISH', ARGV[6], ARGV[7])
end
return result
