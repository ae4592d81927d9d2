-- Directives: what a client says to a task that is not finished. They wait in the list `<task>:directives`, oldest left,
-- as JSON {id, delivery, text, gates, traceparent}. One with delivery "running" is for the agent that runs, any other is
-- the next instruction; so is what an agent has not taken up when its run ends.
--
-- Fields of a claim: `listens` (its id, while its agent takes input), `told` (something waits that the worker has not
-- fetched), `heard` (ids that its agent has taken up). A claim that leaves no record takes `heard` with it: the session
-- that heard is lost, so the next one is told again.

local directives = {MOST = 16}

function directives.key(t) return t.key .. ':directives' end
function directives.all(t)
  local found = {}
  for i, entry in ipairs(redis.call('LRANGE', directives.key(t), 0, -1)) do
    found[i] = cjson.decode(entry)
    found[i].entry = entry
  end
  return found
end
function directives.is_heard(t, directive) return string.find(' ' .. (t.f.heard or '') .. ' ', ' ' .. directive.id .. ' ', 1, true) end
function directives.tell(t, id, delivery)
  emit(t, 'control', 'directive', '{"id":' .. quote(id) .. ',"delivery":"' .. delivery .. '"}')
end
function directives.leave(t)
  if redis.call('EXISTS', directives.key(t)) == 0 then redis.call('ZREM', P .. 'directed', t.ref) end
end

-- What a recorded session has taken up is done.
function directives.settle(t)
  if not t.f.heard then return end
  for _, directive in ipairs(directives.all(t)) do
    if directives.is_heard(t, directive) then redis.call('LREM', directives.key(t), 1, directive.entry) end
  end
  directives.leave(t)
end
-- A cancelled task is told nothing any more.
function directives.drop(t)
  for _, directive in ipairs(directives.all(t)) do directives.tell(t, directive.id, 'dropped') end
  redis.call('DEL', directives.key(t))
  directives.leave(t)
end
function directives.pop(t)
  local entry = redis.call('LPOP', directives.key(t))
  directives.leave(t)
  return entry and cjson.decode(entry)
end
