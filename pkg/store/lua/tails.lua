-- Reads where streams of one partition end.
--
-- KEYS  1 epoch    2 … streams
-- returns {fence or "0", id of the last entry or "", …}

local out = { redis.call('GET', KEYS[1]) or '0' }
for i = 2, #KEYS do
  local last = redis.call('XREVRANGE', KEYS[i], '+', '-', 'COUNT', 1)[1]
  out[i] = last and last[1] or ''
end
return out
