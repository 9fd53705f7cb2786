-- Tells what was not delivered within its ttl, and forgets what nobody will acknowledge any more, a batch at a time.
-- KEYS  1 expiry  2 events  3 untold
-- ARGV  1 size of the batch  2 prefix of await keys  3 prefix of due keys  4 ms that a read is waited for
--       5 ms that an answer is kept  6 length of events  7 hint channel  8 partition  9 prefix of waiters' channels
-- Returns {entries looked at, field of untold, value, …}
local k = {
  expiry = KEYS[1], events = KEYS[2], untold = KEYS[3], time = now(), kept = ARGV[6], waiters = ARGV[9],
  forget = tonumber(ARGV[4]), answer = tonumber(ARGV[5])
}
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ms(k.time), 'LIMIT', 0, ARGV[1])
local out = {#members}
for _, member in ipairs(members) do
  local client, id, pos = string.match(member, '^([^\n]*)\n([^\n]*)\n([^\n]*)$')
  redis.call('ZREM', KEYS[1], member)
  k.await, k.due = ARGV[2] .. client, ARGV[3] .. client
  local list = entries(k, id)
  for _, e in ipairs(list) do
    if e.pos == pos then
      if e.state == 'o' and string.find(e.flags, 't', 1, true) then
        settle(k, client, id, e, 'e', out)
      else
        drop(k, client, id, e)
      end
    end
  end
  if #list > 0 then
    save(k, id, list)
  end
  tidy(k)
end
if k.reported then
  redis.call('PUBLISH', ARGV[7], ARGV[8])
end
return out
