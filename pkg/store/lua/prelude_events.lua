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

-- The number of an event is made of its id: milliseconds, and a count within one that has three digits (see seqOf in
-- events.go). A script's clock stands still, so one that reports very much goes on to the next millisecond itself.
local manyInOneMs = 500
local nextId = {}

-- append appends one event, as JSON, to the stream `key`.
local function append(key, maxlen, json)
  local id = redis.call('XADD', key, 'MAXLEN', '~', maxlen, nextId[key] or '*', 'e', json)
  nextId[key] = nil
  if #id >= 17 then -- 13 digits of time, a dash, three digits of the count
    local time, n = string.match(id, '^(%d+)-(%d+)$')
    if tonumber(n) >= manyInOneMs then
      nextId[key] = ms(tonumber(time) + 1) .. '-0'
    end
  end
end

-- emit appends one event, as a table.
local function emit(key, maxlen, event, meta)
  local json = cjson.encode(event)
  if meta then
    json = string.sub(json, 1, -2) .. ',"meta":' .. meta .. '}'
  end
  append(key, maxlen, json)
end
