-- Takes what one device of a client acknowledged: saves its positions, which only rise (two connections of a device may
-- report out of order), and settles what senders wait for. Doing it again changes nothing.
-- KEYS  1 cursor  2 await  3 due  4 expiry  5 events  6 untold
-- ARGV  1 life of the cursor in s  2 clientId  3 inbox position that was acknowledged, or empty  4 entries looked at
--       5 ms that a read is waited for  6 ms that an answer is kept  7 length of events  8 hint channel  9 partition
--       10 prefix of waiters' channels  11 cursors  12 gaps  13 positions
--       then 11 pairs: field of the cursor, position
--            12 pairs: from, to: between them messages were lost on the way to the device
--            13 positions of the inbox that were delivered without an acknowledgement
--            the rest: ids of messages that were read
-- Returns {1 when there is more to look at: the caller repeats, field of untold, value, …}
local function less(a, b)
  local ae, as = string.match(a, '^(%d+)%-(%d+)$')
  local be, bs = string.match(b, '^(%d+)%-(%d+)$')
  ae, as, be, bs = tonumber(ae), tonumber(as), tonumber(be), tonumber(bs)
  return ae < be or (ae == be and as < bs)
end
local at = 14
for _ = 1, tonumber(ARGV[11]) do
  local old = redis.call('HGET', KEYS[1], ARGV[at])
  if not old or less(old, ARGV[at + 1]) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  end
  at = at + 2
end
if at > 14 then
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
if redis.call('EXISTS', KEYS[2]) == 0 then -- the usual case
  return {0}
end

local client = ARGV[2]
local k = {
  await = KEYS[2], due = KEYS[3], expiry = KEYS[4], events = KEYS[5], untold = KEYS[6], time = now(), kept = ARGV[7],
  waiters = ARGV[10], forget = tonumber(ARGV[5]), answer = tonumber(ARGV[6])
}
local out = {0}

-- What fell into a gap is not proved to have arrived by an acknowledgement of something later: it leaves due.
for _ = 1, tonumber(ARGV[12]) do
  repeat
    local rows = redis.call('XRANGE', k.due, '(' .. ARGV[at], '(' .. ARGV[at + 1], 'COUNT', ARGV[4])
    for _, row in ipairs(rows) do
      redis.call('XDEL', k.due, row[1])
    end
  until #rows < tonumber(ARGV[4])
  at = at + 2
end

local function delivered(row)
  local id = row[2][2]
  local list = entries(k, id)
  for _, e in ipairs(list) do
    if e.pos == row[1] and e.state == 'o' then
      settle(k, client, id, e, 'd', out)
      save(k, id, list)
    end
  end
end

for _ = 1, tonumber(ARGV[13]) do
  for _, row in ipairs(redis.call('XRANGE', k.due, ARGV[at], ARGV[at])) do
    delivered(row)
  end
  at = at + 1
end

-- Reads before the acknowledgement: who has read it need not be told first that it was delivered.
for i = at, #ARGV do
  local id = ARGV[i]
  local list = entries(k, id)
  for _, e in ipairs(list) do
    if e.level == 'r' and (e.state == 'o' or e.state == 'd') then
      settle(k, client, id, e, 'r', out)
    elseif e.state == 'o' then
      settle(k, client, id, e, 'd', out)
    end
  end
  if #list > 0 then
    save(k, id, list)
  end
end

if ARGV[3] ~= '' then
  local from = redis.call('HGET', k.await, '')
  local rows = redis.call('XRANGE', k.due, from and '(' .. from or '-', ARGV[3], 'COUNT', ARGV[4])
  if #rows > 0 then
    redis.call('HSET', k.await, '', rows[#rows][1])
    for _, row in ipairs(rows) do
      delivered(row)
    end
  end
  if #rows == tonumber(ARGV[4]) then
    out[1] = 1
  end
end
tidy(k)
if k.reported then
  redis.call('PUBLISH', ARGV[8], ARGV[9])
end
return out
