-- Deduplication: what becomes of a new task while another one with its key is not finished.

local HOLDERS = 64       -- unfinished tasks of one key that are looked at; follow-ups alone can make more than one
local CALLBACKS = 16     -- further callbacks of a task that several callers share

-- The unfinished tasks of a new task's key, newest first; what has ended without leaving leaves now.
local function holders_of(new)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', dedup_key(new), 0, HOLDERS - 1, 'REV')) do
    local t = read(new.tenant .. '/' .. id, 'status', 'cancel', 'callback_url', 'callbacks')
    if t.f.status and not FINISHED[t.f.status] then found[#found + 1] = t
    else redis.call('ZREM', dedup_key(new), id) end
  end
  return found
end

-- Tell one more URL how the task ends. Returns false when no more is told.
local function add_callback(t, url)
  local known, number = url == t.f.callback_url, 0
  for other in string.gmatch(t.f.callbacks or '', '[^\n]+') do
    known, number = known or other == url, number + 1
  end
  if known then return true end
  if number >= CALLBACKS then return false end
  set(t, {callbacks = (t.f.callbacks or '') .. url .. '\n'})
  save(t)
  return true
end

-- A new task under policy reject or coalesce: the answer that takes its place, or nil. Nobody joins what is being
-- cancelled: the new task would fail for what another caller asked.
local function instead_of(new, holders)
  if new.f.dedup_policy == 'reject' and holders[1] then return {'duplicate', holders[1].id} end
  if new.f.dedup_policy ~= 'coalesce' then return end
  for _, t in ipairs(holders) do
    if not t.f.cancel then
      local told = not new.f.callback_url or add_callback(t, new.f.callback_url)
      return {told and 'joined' or 'full', t.id}
    end
  end
end

-- A new task under policy latest_wins: those before it are cancelled. One that pushes has no agent any more, and ends.
local function supersede(new, holders)
  for _, holder in ipairs(holders) do
    local t = load(holder.ref)
    if not t.f.cancel and not t.f.pushing then
      emit(t, 'system', 'warning', '{"reason":"superseded","by":' .. quote(new.id) .. '}')
      cancel_or_ask(t)
    end
  end
end
