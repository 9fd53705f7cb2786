-- Step 1 of a membership change: the truth, in the client's partition.
-- KEYS  1 unsynced  2 left
-- ARGV  1 join, leave or claim (changes nothing)  2 a new truth: mode (p, o) and - or +  3 token of the caller  4 prefix of groups keys
--       then pairs: clientId, group
-- Returns for each pair the sum of
--   1  the truth changed
--   2  the client is a member now
--   4  the index has to be written: the caller goes on with steps 2 and 3. Its token stands in unsynced from here until
--      step 3 found truth and index equal, so that whoever dies in between leaves a mark.
-- Events are step 3's: who hears of one acts on it. That a membership ended which was reported once stands in left until then.
local time = now()
local result = {}
for i = 5, #ARGV, 2 do
  local client, group = ARGV[i], ARGV[i + 1]
  local groups = ARGV[4] .. client
  local truth = redis.call('HGET', groups, group)
  local changed, write = 0, 4
  if ARGV[1] == 'join' then
    if not truth then
      redis.call('HSET', groups, group, ARGV[2])
      truth, changed = true, 1
    else
      if string.sub(ARGV[2], 1, 1) == 'p' and string.sub(truth, 1, 1) == 'o' then
        redis.call('HSET', groups, group, 'p' .. string.sub(truth, 2))
      end
      if #truth > 3 then -- it has a position: everything has been done
        write = 0
      end
    end
  elseif ARGV[1] == 'leave' and truth then
    redis.call('HDEL', groups, group)
    if #truth > 3 then
      redis.call('HSET', KEYS[2], client .. '\n' .. group, 1)
    end
    truth, changed = false, 1
  end
  if write == 4 then
    redis.call('HSET', KEYS[1], client .. '\n' .. group .. '\n' .. ARGV[3], ms(time))
  end
  result[#result + 1] = changed + (truth and 2 or 0) + write
end
return result
