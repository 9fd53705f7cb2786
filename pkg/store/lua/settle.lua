-- Step 3 of a membership change: is the index what the truth says? Only then the change is over and announced.
-- KEYS  1 unsynced
-- ARGV  1 prefix of groups keys  2 client channel  3 token of the caller
--       then four each: clientId, group, what was written to the index (1 member, 0 not),
--       the position that step 2 returned
-- Returns for each 1, or 0 when the truth changed meanwhile: the caller repeats step 2 with the opposite.
local result = {}
for i = 4, #ARGV, 4 do
  local client, group, pos = ARGV[i], ARGV[i + 1], ARGV[i + 3]
  local truth = redis.call('HGET', ARGV[1] .. client, group)
  if (truth and '1' or '0') == ARGV[i + 2] then
    local pair = client .. '\n' .. group .. '\n'
    redis.call('HDEL', KEYS[1], pair .. ARGV[3], pair)
    if not truth then
      redis.call('PUBLISH', ARGV[2], 'L\n' .. client .. '\n' .. group .. '\n')
    elseif #truth == 3 then -- - or +: no position yet
      local history = string.sub(truth, 3) == '+' -- from the oldest message on
      redis.call('HSET', ARGV[1] .. client, group, string.sub(truth, 1, 2) .. (history and '0-0' or pos))
      redis.call('PUBLISH', ARGV[2], 'J\n' .. client .. '\n' .. group .. '\n' .. pos .. '\n' .. (history and '+\n' or ''))
    end
    result[#result + 1] = 1
  else
    result[#result + 1] = 0
  end
end
return result
