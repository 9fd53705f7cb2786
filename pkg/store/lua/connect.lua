-- Registers a connection: the URL or the session is used up, the device policy applied, the client online.
-- KEYS  1 jti, or the mark by which a closed connection can be resumed  2 conns  3 node  4 leaving  5 online  6 events
--       7 groups  8 unsynced  9 cursor  10 inbox  11 epoch  12 last  13 revocation of the client  14 revocation of the URL
--       15 connects of the client in this second
-- ARGV  1 jti's life in ms, 0 when a connection is restored and no URL is used
--       2 clientId  3 connId  4 connection as JSON  5 prefix of marks of ended connections  6 their life in s
--       7 prefix of node keys  8 client channel  9 hint channel  10 partition  11 length of events
--       12 mode of the groups (p, o)  13 close code of replaced connections
--       14 connId of the connection that this one resumes, or empty  15 close code of that one
--       16 connects that the client may make in a second, 0 for any number  17… groups to join
-- Returns {0} when the URL or the session was used before, {2} when the client or the URL is revoked, {3, why} when a
--         connection that is to be restored was ended, {4} when the client connects too often, else
--         {1, went online, inbox tail, fence, {group, truth, …}, {stream, position, …} of this device,
--          {position, …} of every device's inbox}
local fresh = ARGV[1] ~= '0'
local client, conn, resumed = ARGV[2], ARGV[3], ARGV[14]
if redis.call('EXISTS', KEYS[13], KEYS[14]) > 0 then
  return {2}
end

-- expel takes a connection off the register and tells its node to close it. A node that cannot hear it now finds the
-- mark when it compares.
local function expel(id, node, code, by)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', ARGV[7] .. node, id)
  redis.call('SET', ARGV[5] .. id, code .. '\n' .. by, 'EX', ARGV[6])
  if by ~= '' then
    by = by .. '\n'
  end
  redis.call('PUBLISH', ARGV[8], 'K\n' .. client .. '\n' .. id .. '\n\n' .. code .. '\n' .. by)
end

-- tooMany counts a connect that would be let in. The second begins with the first of them.
local function tooMany()
  if ARGV[16] == '0' then
    return false
  end
  local n = redis.call('INCR', KEYS[15])
  if n == 1 then
    redis.call('PEXPIRE', KEYS[15], 1000)
  end
  return n > tonumber(ARGV[16])
end

if resumed ~= '' then
  -- Registered still: its socket is dead or about to be. Otherwise the mark tells that it closed not long ago.
  local value = redis.call('HGET', KEYS[2], resumed)
  if value then
    local c = split(value)
    if c.over then
      return {0}
    elseif tooMany() then
      return {4}
    end
    expel(resumed, c.node, ARGV[15], '')
  elseif redis.call('EXISTS', KEYS[1]) == 0 then
    return {0}
  elseif tooMany() then
    return {4}
  else
    redis.call('DEL', KEYS[1])
  end
elseif fresh then
  if not redis.call('SET', KEYS[1], ARGV[3], 'NX', 'PX', ARGV[1]) then
    return {0}
  elseif tooMany() then
    redis.call('DEL', KEYS[1]) -- the URL is good for another attempt
    return {4}
  end
end
local own, meta = split(ARGV[4])
if not fresh then
  local ended = redis.call('GET', ARGV[5] .. conn)
  if ended then
    return {3, ended}
  end
  local before = redis.call('HGET', KEYS[2], conn)
  if before then
    local c = split(before)
    if c.over then
      return {3, tostring(c.over)}
    end
    -- The node has a new name: what is listed under the old one would never be taken off again.
    redis.call('HDEL', ARGV[7] .. c.node, conn)
  end
end
redis.call('HSET', KEYS[2], conn, ARGV[4])
redis.call('HSET', KEYS[3], conn, client)

-- admit adds one connection to those that are open, oldest first, and expels those for which its device policy has no
-- room.
local function admit(open, c)
  open[#open + 1] = c
  local policy = c.policy or 'any'
  if policy == 'any' then
    return
  end
  local room = tonumber(string.match(policy, '^max:(%d+)$') or 1)
  for i = #open, 1, -1 do
    if policy ~= 'one-per-device' or open[i].device == c.device then
      if room == 0 then
        expel(open[i].id, open[i].node, ARGV[13], c.device)
        table.remove(open, i)
      else
        room = room - 1
      end
    end
  end
end

-- A fresh connection is the newest by definition, and its own policy counts. One that is restored was opened when it
-- says, and may be the one that has to go: so all are let in again, in the order in which they were opened.
if own.policy or not fresh then
  local all, others = redis.call('HGETALL', KEYS[2]), {}
  for i = 1, #all, 2 do
    local c = split(all[i + 1])
    if not c.over and not (fresh and all[i] == conn) then
      c.id = all[i]
      others[#others + 1] = c
    end
  end
  table.sort(others, function(a, b)
    if a.since ~= b.since then return a.since < b.since end
    return a.id < b.id
  end)
  if fresh then
    own.id = conn
    admit(others, own)
  else
    local open = {}
    for _, c in ipairs(others) do
      admit(open, c)
    end
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
for i = 17, #ARGV do
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
