-- Reads what became of messages of one id that somebody waits for, one receiver a key.
-- KEYS  1 … n await
-- ARGV  1 message id  2 name of who waits from now on, or empty to leave it as it is
--       3 … n+2 positions
-- Returns the state of each: o, d, r or e; empty when nothing is known about it.
local out = {}
for i, await in ipairs(KEYS) do
  local k = {await = await}
  out[i] = ''
  local list = entries(k, ARGV[1])
  for _, e in ipairs(list) do
    if e.pos == ARGV[i + 2] then
      out[i] = e.state
      if ARGV[2] ~= '' then
        e.waiter = ARGV[2]
        save(k, ARGV[1], list)
      end
    end
  end
end
return out
