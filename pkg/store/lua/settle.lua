-- Step 3 of a membership change: is the index what the truth says? Only then the change is over, announced and reported: who
-- hears that somebody has joined may write to the group at once, and who hears that somebody has left, about him.
-- KEYS  1 unsynced  2 left  3 events
-- ARGV  1 prefix of groups keys  2 client channel  3 token of the caller  4 hint channel  5 partition  6 length of events
--       then four each: clientId, group, what was written to the index (1 member, 0 not),
--       the position that step 2 returned
-- ANNOUNCE stands for 'PUBLISH' or, in a Cluster, 'SPUBLISH': see script.go.
-- Returns for each 1, or 0 when the truth changed meanwhile: the caller repeats step 2 with the opposite.
local result = {}
local reported = false

local function report(what, client, group)
  emit(KEYS[3], ARGV[6], {type = what, clientId = client, group = group, time = now()})
  reported = true
end

-- follow tells the client's nodes; suffix is for a membership with history.
local function follow(client, group, pos, suffix)
  redis.call(ANNOUNCE, ARGV[2], 'J\n' .. client .. '\n' .. group .. '\n' .. pos .. '\n' .. suffix)
end

for i = 7, #ARGV, 4 do
  local client, group, pos = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local truth = redis.call('HGET', ARGV[1] .. client, group)
  if (truth and '1' or '0') == ARGV[i + 2] then
    local pair = client .. '\n' .. group
    redis.call('HDEL', KEYS[1], pair .. '\n' .. ARGV[3], pair .. '\n')
    local left = redis.call('HDEL', KEYS[2], pair) == 1
    if left or not truth then -- not a member, or again: then what lies between is not for it
      redis.call(ANNOUNCE, ARGV[2], 'L\n' .. client .. '\n' .. group .. '\n' .. pos .. '\n')
    end
    if left then
      report('leave', client, group)
      if truth and #truth > 3 then -- it joined again by a version that knows nothing of left
        follow(client, group, string.sub(truth, 3), '')
      end
    end
    if truth and #truth == 3 then -- - or +: no position yet
      local history = string.sub(truth, 3) == '+' -- from the oldest message on
      redis.call('HSET', ARGV[1] .. client, group, string.sub(truth, 1, 2) .. (history and '0-0' or pos))
      follow(client, group, pos, history and '+\n' or '')
      report('join', client, group)
    end
    result[#result + 1] = 1
  else
    result[#result + 1] = 0
  end
end
if reported then
  redis.call('PUBLISH', ARGV[4], ARGV[5])
end
return result
