-- Reads events of one partition.
-- KEYS  1 events
-- ARGV  1 first id  2 most entries
-- Returns {time in ms, id, {{id, {field, value}}, …}}: what has an id below the time is all there will ever be. The id in
-- the middle is empty, or that of the oldest entry when some from the first id on were trimmed.
local t = redis.call('TIME')
local time = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)

-- before compares two ids.
local function before(a, b)
  local am, an = string.match(a, '^(%d+)-(%d+)$')
  local bm, bn = string.match(b, '^(%d+)-(%d+)$')
  am, bm = tonumber(am), tonumber(bm)
  return am < bm or am == bm and tonumber(an) < tonumber(bn)
end

local lost = ''
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if oldest and not before(oldest[1], ARGV[1]) then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  local value = {}
  for i = 1, #info, 2 do
    value[info[i]] = info[i + 1]
  end
  if (value['entries-added'] or 0) > value['length'] then
    lost = oldest[1]
  end
end
return {time, lost, redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])}
