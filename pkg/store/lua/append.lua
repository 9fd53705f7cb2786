-- Appends messages to streams and announces each on its partition's channel. It is publish.lua for the plain case, with
-- many messages in one call: a call by itself costs more than a message.
--
-- KEYS  1 … e  epochs: the fences of all partitions concerned; then, for every message, the partition's online zset
--              (only for kind i) and the streams
-- ARGV  1 e    2 entries kept per stream    3 stream TTL, ms; then, for every message,
--       kind: i, g or a    channel    envelope    n: how many streams
--       and for each stream its address and the epoch that it was last seen in, or empty: then its expiry is renewed too
-- returns one string with a line for every stream: "1<position>", or "0<position>" when the client is not online or the
--         stream is no inbox, or "!<error>" when Redis refused it;
--         or, having done nothing, the fences as a list, when one of them is not this script's.
--
-- LIFE, the fence this copy of the script belongs to, is defined in a line that the loader puts in front; see
-- fence.go. ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH', see script.go. XADD comes before it: on a read-only replica
-- and out of memory XADD fails, while they would answer 0 without an error.

local call, try = redis.call, redis.pcall
local keys, argv = KEYS, ARGV
local partitions, size, ttl = tonumber(argv[1]), argv[2], argv[3]

local fences = call('MGET', unpack(keys, 1, partitions))
for i = 1, partitions do
  if fences[i] ~= LIFE then
    for j = 1, partitions do
      fences[j] = fences[j] or '0'
    end
    return fences
  end
end

-- next_id is the id to append with when nothing is known of the stream (see id_for in publish.lua), or an error.
local function next_id(key)
  local last = try('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if last.err then
    return last
  end
  if last[1] then
    local epoch = string.match(last[1][1], '^%d+')
    if tonumber(epoch) >= tonumber(LIFE) then
      return epoch .. '-*'
    end
    return LIFE .. '-1'
  end
  local time = call('TIME')
  local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  return string.format('%.0f', math.max(tonumber(LIFE), ms)) .. '-1'
end

-- append tries the epoch in which the stream was seen in this life of Redis, which saves reading its last entry: a
-- stream that is gone is not made by that, and one that has gone on to a later epoch refuses. An error about one
-- stream, such as a key of another type, is a value here: it does not concern the other messages.
local function append(key, epoch, envelope)
  if epoch ~= '' then
    local pos = try('XADD', key, 'NOMKSTREAM', 'MAXLEN', '~', size, epoch .. '-*', 'm', envelope)
    if type(pos) == 'string' then
      return pos
    end
  end
  local id = next_id(key)
  if type(id) == 'table' then
    return id
  end
  local pos = try('XADD', key, 'MAXLEN', '~', size, id, 'm', envelope)
  if type(pos) == 'string' then
    call('PEXPIRE', key, ttl)
  end
  return pos
end

-- What this does for every message counts: each table, each call of Redis and each string is a part of a microsecond.
local out, o = {}, 0
local k, a = partitions + 1, 4
local to_one = 'M\n' .. LIFE .. '\n1\n' -- how most pushes begin
while argv[a] do
  local inbox, channel, envelope, n = argv[a] == 'i', argv[a + 1], argv[a + 2], argv[a + 3]
  a = a + 4
  local online
  if inbox then
    online = keys[k]
    k = k + 1
  end
  local push, p = n ~= '1' and { 'M', LIFE, 0 }, 3
  for _ = 1, tonumber(n) do
    local addr = argv[a]
    local pos = append(keys[k], argv[a + 1], envelope)
    o = o + 1
    if type(pos) == 'string' then
      out[o] = (inbox and call('ZSCORE', online, addr) and '1' or '0') .. pos
      if push then
        push[p + 1], push[p + 2] = addr, pos
        p = p + 2
      else
        call(ANNOUNCE, channel, to_one .. addr .. '\n' .. pos .. '\n' .. envelope)
      end
    else
      out[o] = '!' .. pos.err
    end
    k = k + 1
    a = a + 2
  end
  if p > 3 then
    push[3] = (p - 3) / 2
    push[p + 1] = envelope
    call(ANNOUNCE, channel, table.concat(push, '\n'))
  end
end
return table.concat(out, '\n')
