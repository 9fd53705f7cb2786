-- Registers a connection: the URL or the session is used up, the device policy applied, the client online.
-- KEYS  1 jti, or the mark by which a closed connection can be resumed; of a restored one, its own mark  2 conns  3 node  4 leaving  5 online  6 events
--       7 groups  8 unsynced  9 cursor  10 inbox  11 epoch  12 last  13 revocation of the client  14 revocation of the URL
--       15 connects of the client in this second  16 left
--       then, unless this is a Cluster, four of each group to join: members, grouplist, the group's stream, its epoch
--       then, if asked for, the stream of the broadcasts and its epoch
-- ARGV  1 jti's life in ms, 0 when a connection is restored and no URL is used
--       2 clientId  3 connId  4 connection as JSON  5 its device  6 its policy, or empty
--       7 and 8 event of going online as JSON, what precedes and what follows its time
--       9 prefix of marks of ended connections  10 prefix of node keys  11 client channel  12 hint channel  13 partition
--       14 length of events  15 mode of the groups (p, o)
--       16 connId of the connection that this one resumes, or empty
--       17 connects that the client may make in a second, 0 for any number  18 mark of nodes that were struck off
--       19 1 to learn where the broadcasts end, else 0  20… groups to join
-- Globals of the text: REPLACED, HANDED_OVER close codes, ENDED_FOR life of marks of ended connections in s, REAPED what
--         the mark of a connection holds whose node is thought dead
-- ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH': see script.go.
-- Returns {0} when the URL or the session was used before, {2} when the client or the URL is revoked, {3, why} when a
--         connection that is to be restored was ended, {4} when the client connects too often, {5} when this comes too late:
--         the connection was signed off, {6} when its node was struck off, and nobody would take it off the register again; else
--         {1, went online, inbox tail, fence, {group, truth, …}, {stream, position, …} of this device,
--          {position, …} of every device's inbox, {group, tail, …} of those to join whose index is as the truth, end of the broadcasts or ''}
local fresh = ARGV[1] ~= '0'
local client, conn, resumed = ARGV[2], ARGV[3], ARGV[16]
local known = redis.call('MGET', KEYS[11], KEYS[13], KEYS[14], ARGV[9] .. conn, ARGV[18])
local fence = known[1] or '0'
if known[2] or known[3] then
  return {2}
elseif known[5] then
  return {6}
elseif fresh and known[4] then
  return {5}
end

-- expel takes a connection off the register and tells its node to close it. A node that cannot hear it now finds the
-- mark when it compares.
local function expel(id, node, code, by)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', ARGV[10] .. node, id)
  redis.call('SET', ARGV[9] .. id, code .. '\n' .. by, 'EX', ENDED_FOR)
  if by ~= '' then
    by = by .. '\n'
  end
  redis.call(ANNOUNCE, ARGV[11], 'K\n' .. client .. '\n' .. id .. '\n\n' .. code .. '\n' .. by)
end

-- tooMany counts a connect that would be let in. The second begins with the first of them.
local function tooMany()
  if ARGV[17] == '0' or redis.call('SET', KEYS[15], 1, 'NX', 'PX', 1000) then
    return false
  end
  return redis.call('INCR', KEYS[15]) > tonumber(ARGV[17])
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
    expel(resumed, c.node, HANDED_OVER, '')
  else
    local mark = redis.call('GET', KEYS[1])
    if not mark then
      return {0}
    elseif tooMany() then
      return {4}
    end
    redis.call('DEL', KEYS[1])
    if mark == REAPED then -- its node may come back with it
      redis.call('SET', ARGV[9] .. resumed, HANDED_OVER, 'EX', ENDED_FOR)
    end
  end
elseif fresh then
  if not redis.call('SET', KEYS[1], ARGV[3], 'NX', 'PX', ARGV[1]) then
    return {0}
  elseif tooMany() then
    redis.call('DEL', KEYS[1]) -- the URL is good for another attempt
    return {4}
  end
end
if not fresh then
  if known[4] then
    return {3, known[4]}
  end
  redis.call('DEL', KEYS[1]) -- its session is resumed by what registers it, and only once
  local before = redis.call('HGET', KEYS[2], conn)
  if before then
    local c = split(before)
    if c.over then
      return {3, tostring(c.over)}
    end
    -- The node has a new name: what is listed under the old one would never be taken off again.
    redis.call('HDEL', ARGV[10] .. c.node, conn)
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
        expel(open[i].id, open[i].node, REPLACED, c.device)
        table.remove(open, i)
      else
        room = room - 1
      end
    end
  end
end

-- A fresh connection is the newest by definition, and its own policy counts. One that is restored was opened when it
-- says, and may be the one that has to go: so all are let in again, in the order in which they were opened.
if ARGV[6] ~= '' or not fresh then
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
    admit(others, {id = conn, device = ARGV[5], policy = ARGV[6]})
  else
    local open = {}
    for _, c in ipairs(others) do
      admit(open, c)
    end
  end
end

-- Only who is online already can be in its grace.
local reported = false
local online = redis.call('ZADD', KEYS[5], 0, client)
if online == 1 then
  append(KEYS[6], ARGV[14], ARGV[7] .. ms(now()) .. ARGV[8])
  reported = true
elseif redis.call('ZREM', KEYS[4], client) == 1 then
  redis.call('HDEL', KEYS[12], client)
end

-- endOf returns where the stream at a place of KEYS ends, whose epoch is behind it.
local function endOf(at)
  local tail = redis.call('XREVRANGE', KEYS[at], '+', '-', 'COUNT', 1)
  return tail[1] and tail[1][1] or (redis.call('GET', KEYS[at + 1]) or '0') .. '-0'
end

-- tailOf writes a group's index, in one step with the truth, and returns where the group's stream ends.
local function tailOf(group, at)
  if redis.call('ZADD', KEYS[at], 0, client) == 1 then
    redis.call('ZADD', KEYS[at + 1], 0, group)
  end
  return endOf(at + 2)
end

local tails = {}
for i = 20, #ARGV do
  local group, mode = ARGV[i], ARGV[15]
  local at = 17 + 4 * (i - 20)
  local truth = redis.call('HGET', KEYS[7], group)
  if truth and mode == 'p' and string.sub(truth, 1, 1) == 'o' then
    redis.call('HSET', KEYS[7], group, 'p' .. string.sub(truth, 2))
  end
  local tail
  if KEYS[at] and not (truth and #truth == 3) then -- else the steps of a change follow, or are under way
    tail = tailOf(group, at)
    tails[#tails + 1] = group
    tails[#tails + 1] = tail
  end
  if not truth then
    local time = now()
    redis.call('HSET', KEYS[7], group, mode .. ' ' .. (tail or '-'))
    if tail then
      -- As in settle.lua, also for who has left and is only now joining again.
      if redis.call('HDEL', KEYS[16], client .. '\n' .. group) == 1 then
        redis.call(ANNOUNCE, ARGV[11], 'L\n' .. client .. '\n' .. group .. '\n' .. tail .. '\n')
        emit(KEYS[6], ARGV[14], {type = 'leave', clientId = client, group = group, time = time})
      end
      redis.call(ANNOUNCE, ARGV[11], 'J\n' .. client .. '\n' .. group .. '\n' .. tail .. '\n')
      emit(KEYS[6], ARGV[14], {type = 'join', clientId = client, group = group, time = time})
      reported = true
    else
      redis.call('HSET', KEYS[8], client .. '\n' .. group .. '\n', ms(time))
    end
  end
end
if reported then
  redis.call('PUBLISH', ARGV[12], ARGV[13])
end

local groups, member = redis.call('HGETALL', KEYS[7]), {}
for i = 1, #groups, 2 do
  member[groups[i]] = true
end
local mine, inboxes = {}, {}
local cursors = redis.call('HGETALL', KEYS[9])
local device = ARGV[5] .. '\n'
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
return {1, online, tail[1] and tail[1][1] or fence .. '-0', fence,
  groups, mine, inboxes, tails, ARGV[19] == '1' and endOf(#KEYS - 1) or ''}
