-- Pauses: a task that is paused stands nowhere and holds nothing, but its run goes on some day. Field `pause`: one was
-- asked for while a worker has the task. Fields `ran`, `ran_usage`, `ran_unpriced`: ms of its time, its usage and the
-- unpriced tokens of that, up to its newest pause.

-- What is in no place and held by nobody is paused now; the caller saves.
local function become_paused(t)
  clear(t, 'pause')
  set_state(t, 'paused')
  emit(t, 'control', 'paused', '{}')
end
local function pause_queued(t)
  withdraw(t)
  become_paused(t)
end
