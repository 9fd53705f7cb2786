-- Registers a connection: the URL or the session is used up, the device policy applied, the client online.
-- KEYS  1 jti, or the mark by which a closed connection can be resumed  2 conns  3 node  4 leaving  5 online  6 events  7 groups  8 unsynced  9 cursor  10 inbox  11 epoch  12 last
-- ARGV  1 jti's life in ms, 0 when a connection is restored and no URL is used
--       2 clientId  3 connId  4 connection as JSON  5 policy (any, one, device, max)  6 limit of max
--       7 prefix of node keys  8 client channel  9 hint channel  10 partition  11 length of events
--       12 mode of the groups (p, o)  13 close code of replaced connections
--       14 connId of the connection that this one resumes, or empty  15 close code of that one  16… groups to join
-- Returns {0} when the URL or the session was used before, else
--         {1, went online, inbox tail, fence, {group, truth, …}, {stream, position, …} of this device,
--          {position, …} of every device's inbox}
local fresh = ARGV[1] ~= '0'
local client, conn, resumed = ARGV[2], ARGV[3], ARGV[14]
if resumed ~= '' then
  -- Registered still: its socket is dead or about to be. Otherwise the mark tells that it closed not long ago.
  local value = redis.call('HGET', KEYS[2], resumed)
  if value then
    redis.call('HDEL', KEYS[2], resumed)
    redis.call('HDEL', ARGV[7] .. split(value).node, resumed)
    redis.call('PUBLISH', ARGV[8], 'K\n' .. client .. '\n' .. resumed .. '\n\n' .. ARGV[15] .. '\n')
  elseif redis.call('DEL', KEYS[1]) == 0 then
    return {0}
  end
elseif fresh and not redis.call('SET', KEYS[1], ARGV[3], 'NX', 'PX', ARGV[1]) then
  return {0}
end
local own, meta = split(ARGV[4])
local before = not fresh and redis.call('HGET', KEYS[2], conn)
if before then -- the node has a new name: what is listed under the old one would never be taken off again
  redis.call('HDEL', ARGV[7] .. split(before).node, conn)
end
redis.call('HSET', KEYS[2], conn, ARGV[4])
redis.call('HSET', KEYS[3], conn, client)

-- The device policy keeps the newest connections. A fresh one is the newest by definition; a restored one was
-- opened when it says, and may be the one that has to go.
if ARGV[5] ~= 'any' then
  local rivals = {}
  local all = redis.call('HGETALL', KEYS[2])
  for i = 1, #all, 2 do
    local c = split(all[i + 1])
    if ARGV[5] ~= 'device' or c.device == own.device then
      c.id = all[i]
      if fresh and c.id == conn then c.since = math.huge end
      rivals[#rivals + 1] = c
    end
  end
  table.sort(rivals, function(a, b)
    if a.since ~= b.since then return a.since > b.since end
    return a.id > b.id
  end)
  local keep = ARGV[5] == 'max' and tonumber(ARGV[6]) or 1
  for i = keep + 1, #rivals do
    local c = rivals[i]
    redis.call('HDEL', KEYS[2], c.id)
    redis.call('HDEL', ARGV[7] .. c.node, c.id)
    redis.call('PUBLISH', ARGV[8], 'K\n' .. client .. '\n' .. c.id .. '\n\n' .. ARGV[13] .. '\n')
  end
end

local time = now()
local reported = false
redis.call('ZREM', KEYS[4], client)
redis.call('HDEL', KEYS[12], client)
local online = redis.call('ZADD', KEYS[5], 0, client)
if online == 1 then
  emit(KEYS[6], ARGV[11], {type = 'online', clientId = client, device = own.device, node = own.node, time = time}, meta)
  reported = true
end
for i = 16, #ARGV do
  local group = ARGV[i]
  local truth = redis.call('HGET', KEYS[7], group)
  if not truth then
    redis.call('HSET', KEYS[7], group, ARGV[12] .. ' -')
    redis.call('HSET', KEYS[8], client .. '\n' .. group .. '\n', ms(time))
    emit(KEYS[6], ARGV[11], {type = 'join', clientId = client, group = group, time = time})
    reported = true
  elseif ARGV[12] == 'p' and string.sub(truth, 1, 1) == 'o' then
    redis.call('HSET', KEYS[7], group, 'p' .. string.sub(truth, 2))
  end
end
if reported then
  redis.call('PUBLISH', ARGV[9], ARGV[10])
end

local groups, member = redis.call('HGETALL', KEYS[7]), {}
for i = 1, #groups, 2 do
  member[groups[i]] = true
end
local mine, inboxes = {}, {}
local cursors = redis.call('HGETALL', KEYS[9])
local device = own.device .. '\n'
for i = 1, #cursors, 2 do
  local field = cursors[i]
  local group = string.match(field, '\ngroup:(.*)$')
  if group and not member[group] then -- left since: neither of use nor to be kept
    redis.call('HDEL', KEYS[9], field)
  elseif string.sub(field, 1, #device) == device then
    mine[#mine + 1] = string.sub(field, #device + 1)
    mine[#mine + 1] = cursors[i + 1]
  end
  if string.sub(field, -6) == '\ninbox' then
    inboxes[#inboxes + 1] = cursors[i + 1]
  end
end
local tail = redis.call('XREVRANGE', KEYS[10], '+', '-', 'COUNT', 1)
local fence = redis.call('GET', KEYS[11]) or '0'
return {1, online, tail[1] and tail[1][1] or fence .. '-0', fence,
  groups, mine, inboxes}
