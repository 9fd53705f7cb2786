-- Appends one message to streams of one partition and announces it on the partition's channel.
--
-- KEYS  1          epoch: the partition's fence
--       2          online zset (unused unless kind is i)
--       3 … n+2    streams
--       n+3 … 2n+2 idempotency keys, only when ARGV 6 is 1
--       with kind r, at the end: expiry, then await and due of each address; see prelude_receipts.lua
-- ARGV  1 kind: i, g or a; r is i with receipts    2 channel    3 entries kept per stream    4 stream TTL, ms
--       5 idempotency TTL, s  6 idempotent: 0 or 1    7 envelope    8 … n+7 addresses, in the order of the streams
--       with kind r, at the end: message id, level, flags, waiter, from, ms until expiry looks at it,
--       life of await and due in ms, lines kept per client
-- returns {position, online 0|1, duplicate 0|1, …} per stream;
--         or, having done nothing, the partition's fence as a string when this is not the script of that fence.
--
-- LIFE, the fence this copy of the script belongs to, is defined in a line that the loader puts in front; see
-- fence.go. ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH', see script.go. XADD comes before it: on a read-only replica
-- and out of memory XADD fails, while they would answer 0 without an error.

local fence = redis.call('GET', KEYS[1]) or '0'
if fence ~= LIFE then
  return fence
end

local tracked = ARGV[1] == 'r'
local n = #ARGV - 7
if tracked then
  n = n - 8
end
local idempotent = ARGV[6] == '1'
local envelope = ARGV[7]

-- The id to append with: "<epoch>-*" continues the epoch of the last entry; an epoch's first entry is
-- "<epoch>-1", as the automatic one would be 0. A new stream starts at the present time, so that its epoch is
-- above that of a stream of the same name which has expired.
local function id_for(key)
  local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  if last then
    local epoch = string.match(last[1], '^%d+')
    if tonumber(epoch) >= tonumber(fence) then
      return epoch .. '-*'
    end
    return fence .. '-1'
  end
  local time = redis.call('TIME')
  local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  return string.format('%.0f', math.max(tonumber(fence), ms)) .. '-1'
end

local out = {}
local push = { 'M', fence, 0 }
local appended = 0
for i = 1, n do
  local addr = ARGV[7 + i]
  local pos = idempotent and redis.call('GET', KEYS[2 + n + i])
  local duplicate = 1
  if not pos then
    local key = KEYS[2 + i]
    duplicate = 0
    pos = redis.call('XADD', key, 'MAXLEN', '~', ARGV[3], id_for(key), 'm', envelope)
    redis.call('PEXPIRE', key, ARGV[4])
    if idempotent then
      redis.call('SET', KEYS[2 + n + i], pos, 'EX', ARGV[5])
    end
    appended = appended + 1
    push[#push + 1] = addr
    push[#push + 1] = pos
  end
  local online = 0
  if (tracked or ARGV[1] == 'i') and redis.call('ZSCORE', KEYS[2], addr) then
    online = 1
  end
  out[3 * i - 2], out[3 * i - 1], out[3 * i] = pos, online, duplicate
end

if tracked and appended > 0 then
  local k, a = #KEYS - 2 * n, #ARGV - 8
  local id, from, life, most = ARGV[a + 1], ARGV[a + 5], tonumber(ARGV[a + 7]), tonumber(ARGV[a + 8])
  local time = redis.call('TIME')
  local look = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + tonumber(ARGV[a + 6]))
  for i = 1, n do
    if out[3 * i] == 0 then
      local await, due, pos = KEYS[k + 2 * i - 1], KEYS[k + 2 * i], out[3 * i - 2]
      local line = table.concat({pos, ARGV[a + 2], 'o', ARGV[a + 3], ARGV[a + 4], from}, ' ')
      local before = redis.call('HGET', await, id) -- an id may be another sender's too
      redis.call('HSET', await, id, before and before .. '\n' .. line or line)
      if type(redis.pcall('XADD', due, pos, 'i', id)) == 'table' then
        redis.call('DEL', due) -- the inbox had expired, and the clock is behind what it was then
        redis.call('XADD', due, pos, 'i', id)
      end
      redis.call('ZADD', KEYS[k], look, ARGV[7 + i] .. '\n' .. id .. '\n' .. pos)
      for _, key in ipairs({await, due}) do
        if redis.call('PTTL', key) < life then
          redis.call('PEXPIRE', key, life)
        end
      end
      if redis.call('XLEN', due) > most then
        local oldest = redis.call('XRANGE', due, '-', '+', 'COUNT', 1)[1]
        redis.call('XDEL', due, oldest[1])
        redis.call('HDEL', await, oldest[2][2])
      end
    end
  end
end

if appended > 0 then
  push[3] = appended
  push[#push + 1] = envelope
  redis.call(ANNOUNCE, ARGV[2], table.concat(push, '\n'))
end
return out
