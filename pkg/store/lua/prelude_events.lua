-- Put in front of every script that reports a change of presence or membership. It defines, and does not run.

-- now is this server's clock in Unix milliseconds: one clock for every program.
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- ms writes a number of milliseconds without an exponent.
local function ms(n)
  return string.format('%.0f', n)
end

-- split takes the JSON of a connection apart: its own fields decoded, and the bytes of its meta, or nil. The meta is
-- always the last field and is never decoded: it has to travel exactly as it was given.
local function split(conn)
  local at = string.find(conn, ',"meta":', 1, true)
  if at then
    return cjson.decode(string.sub(conn, 1, at - 1) .. '}'), string.sub(conn, at + 8, -2)
  end
  return cjson.decode(conn), nil
end

-- emit appends one event to the stream `key`.
local function emit(key, maxlen, event, meta)
  local json = cjson.encode(event)
  if meta then
    json = string.sub(json, 1, -2) .. ',"meta":' .. meta .. '}'
  end
  redis.call('XADD', key, 'MAXLEN', '~', maxlen, '*', 'e', json)
end
