-- Put behind prelude_events.lua in front of every script that settles what senders want to know. It defines, and
-- does not run.
--
-- await    hash of a client: message id → one line for each message of that id that somebody wants to know about:
--            <position> <level> <state> <flags> <waiter> <from>
--          level   d delivered, r read: the receipt that was asked for; q: delivered, and only the waiter is told
--          state   o open, d delivered, r read, e expired
--          flags   t: its ttl is to be told when it passes; k: the send may be repeated, keep the answer; or -
--          waiter  the name of who waits, or -
--          The empty field is the inbox position up to which acknowledgements were worked off.
-- due      stream of a client, ids as in its inbox, field i = message id: the same, by position
-- expiry   zset "<clientId>\n<id>\n<position>" → ms when the ttl passes, or when the line is forgotten
-- untold   hash "<clientId>\n<position>\n<state>" → "<ms>\n<id>\n<from>": receipts that the sender's inbox may lack
--
-- The scripts give a table k: await, due (the client's keys), expiry, events, untold, time, kept (length of events),
-- waiters (prefix of channels), forget and answer (ms that a read is waited for, and an answer kept).
-- Global of the text: AWAIT_SLACK, ms that await and due live longer than anything in them

local words = {d = 'delivered', r = 'read', e = 'expired'}

-- entries reads the lines of one id.
local function entries(k, id)
  local list = {}
  for line in string.gmatch(redis.call('HGET', k.await, id) or '', '[^\n]+') do
    local pos, level, state, flags, waiter, from = string.match(line, '^(%S+) (%a) (%a) (%S+) (%S+) (.*)$')
    if pos then
      list[#list + 1] = {pos = pos, level = level, state = state, flags = flags, waiter = waiter, from = from}
    end
  end
  return list
end

-- save writes the lines of one id, but for those that are over.
local function save(k, id, list)
  local lines = {}
  for _, e in ipairs(list) do
    if not e.over then
      lines[#lines + 1] = table.concat({e.pos, e.level, e.state, e.flags, e.waiter, e.from}, ' ')
    end
  end
  if #lines > 0 then
    redis.call('HSET', k.await, id, table.concat(lines, '\n'))
  else
    redis.call('HDEL', k.await, id)
  end
end

-- tidy removes what is left of a client that nobody waits for, so that its acknowledgements cost nothing again.
local function tidy(k)
  local n = redis.call('HLEN', k.await)
  if n == 0 or (n == 1 and redis.call('HEXISTS', k.await, '') == 1) then
    redis.call('DEL', k.await, k.due)
  end
end

-- drop forgets a line.
local function drop(k, client, id, e)
  e.over = true
  redis.call('XDEL', k.due, e.pos)
  redis.call('ZREM', k.expiry, client .. '\n' .. id .. '\n' .. e.pos)
end

-- settle gives a message its next state and tells: backends by an event, who waits by its channel, the sender by what
-- is added to out (field and value in untold). The caller saves the line.
local function settle(k, client, id, e, state, out)
  e.state = state
  if e.level ~= 'q' then
    local event = {type = 'receipt', clientId = client, id = id, state = words[state], time = k.time}
    if e.from ~= '' then
      event.from = e.from
      local field = client .. '\n' .. e.pos .. '\n' .. state
      local value = ms(k.time) .. '\n' .. id .. '\n' .. e.from
      redis.call('HSET', k.untold, field, value)
      out[#out + 1], out[#out + 2] = field, value
    end
    emit(k.events, k.kept, event)
    k.reported = true
  end
  if e.waiter ~= '-' then
    redis.call('PUBLISH', k.waiters .. e.waiter, id .. '\n' .. client .. '\n' .. e.pos .. '\n' .. words[state])
  end
  local member = client .. '\n' .. id .. '\n' .. e.pos
  if state == 'd' and e.level == 'r' then
    redis.call('ZADD', k.expiry, ms(k.time + k.forget), member)
    for _, key in ipairs({k.await, k.due}) do -- they live as long as the message was to be waited for when it was sent
      if redis.call('PTTL', key) < k.forget + AWAIT_SLACK then
        redis.call('PEXPIRE', key, ms(k.forget + AWAIT_SLACK))
      end
    end
  elseif e.waiter ~= '-' or string.find(e.flags, 'k', 1, true) then
    redis.call('ZADD', k.expiry, ms(k.time + k.answer), member)
  else
    drop(k, client, id, e)
  end
end
