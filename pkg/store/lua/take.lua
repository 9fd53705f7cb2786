-- Reads entries of one partition for a consumer group. The partition belongs to one consumer at a time; reading takes or
-- renews it. All read under one name, so what a dead consumer had in hand is found by the next.
-- KEYS  1 stream  2 lock
-- ARGV  1 token of the consumer  2 life of the lock in ms  3 consumer group  4 name they share  5 most entries
--       6 1 when the caller already went through what was left in hand  7 else after which id to go on with that
--       8 token of a holder that is dead, or empty
--       9 id that the caller read last, or empty; or "-": do not look whether entries were trimmed unread
-- Returns {0, holder} when another holds the partition, else
--         {1, 1 when these are entries left in hand, {{id, {field, value}}, …}, time in ms}; or, having read nothing,
--         {1, 0, {}, time in ms, id, id}: entries after the first id and before the second were trimmed unread.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] and holder ~= ARGV[8] then
  return {0, holder}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local known = holder == ARGV[1]
local t = redis.call('TIME')
local time = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)

-- field finds a value in the flat answers of XINFO.
local function field(answer, name)
  for i = 1, #answer, 2 do
    if answer[i] == name then
      return answer[i + 1]
    end
  end
end

-- older compares two ids.
local function older(a, b)
  local am, an = string.match(a, '^(%d+)-(%d+)$')
  local bm, bn = string.match(b, '^(%d+)-(%d+)$')
  am, bm = tonumber(am), tonumber(bm)
  return am < bm or am == bm and tonumber(an) < tonumber(bn)
end

-- Whoever has just got the partition starts with what its predecessor had not acknowledged.
if not known or ARGV[6] ~= '1' then
  local after = known and ARGV[7] or '0'
  local got = redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'STREAMS', KEYS[1], after)
  if got and #got[1][2] > 0 then
    return {1, 1, got[1][2], time}
  end
end

if ARGV[9] ~= '-' then
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  local last = known and ARGV[9] or ''
  if first and last == '' then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
      if field(group, 'name') == ARGV[3] then
        last = field(group, 'last-delivered-id')
      end
    end
  end
  if first and last ~= '' and older(last, first[1]) then
    -- What the group read last is no longer there. A group that has read nothing yet began with the stream.
    local lost = last ~= '0-0'
    if not lost then
      local info = redis.call('XINFO', 'STREAM', KEYS[1])
      lost = (field(info, 'entries-added') or 0) > field(info, 'length')
    end
    if lost then
      return {1, 0, {}, time, last, first[1]}
    end
  end
end
local got = redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'STREAMS', KEYS[1], '>')
return {1, 0, got and got[1][2] or {}, time}
