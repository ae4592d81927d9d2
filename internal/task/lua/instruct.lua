-- INSTRUCT: queue a follow-up of a finished task.
-- ARGV: 1 ref, 2 operation id, 3 prompt, 4 gates
-- -> {'ok', iteration} | {'illegal', state} | {'missing'}
local ref = ARGV[1]
local h = load(ref)
if not h.status then return {'missing'} end
if h.request == ARGV[2] then return {'ok', tonumber(h.iteration)} end
if not FINISHED[h.status] then return {'illegal', h.status} end
lift_retention(ref)
keep_document(ref, h)
local number = tonumber(h.iterations_used or h.iteration) + 1
set(ref, h, {request = ARGV[2], kind = 'instruct', gates = ARGV[4], current_prompt = ARGV[3], iteration = number, iterations_used = number,
  attempt = 0, lost = 0, retries = 0, usage = h.no_usage})
clear(ref, h, 'result', 'failure', 'started_at', 'finished_at', 'op', 'pr_error')
row(ref, h, {prompt = ARGV[3]})
set_state(ref, h, 'awaiting_instruction')
push(ref, h, false)
return {'ok', number}
