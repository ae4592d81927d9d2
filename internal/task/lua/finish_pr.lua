#!lua flags=allow-oom
-- FINISH_PR: end a create-pr run, with its pull request or with everything as it was before.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 pull request URL or '', 5 its number, 6 branch, 7 '1' when it was updated,
--       8 reason and 9 message of the failure when there is no URL
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'illegal', state}
local ref = ARGV[1]
local h = load(ref)
if not h.status then return {'fenced', ''} end
if h.op == ARGV[3] then return {'dup', h.status} end
if not h.token or h.token ~= ARGV[2] then return {'fenced', h.status} end
if h.kind ~= 'publish' then return {'illegal', h.status} end
set(ref, h, {op = ARGV[3]})
release(ref, h)
if ARGV[4] == '' then
  if h.cancel then fail_publish(ref, h, 'canceled', CANCELLED) else fail_publish(ref, h, ARGV[8], ARGV[9]) end
  return {'ok', h.status}
end
set(ref, h, {pr_url = ARGV[4], pr_number = ARGV[5], branch = ARGV[6]})
set_state(ref, h, 'pr_created')
emit(ref, h, {'git', 'pr_created', '{"pr_url":' .. quote(ARGV[4]) .. ',"pr_number":' .. ARGV[5] .. ',"branch":' .. quote(ARGV[6])
  .. ',"updated":' .. (ARGV[7] == '1' and 'true' or 'false') .. '}'})
set(ref, h, {finished_at = NOW})
announce(ref, h, 'task.pr_created', 'pr_created', '')
clear(ref, h, 'cancel', 'prev', 'waited', 'pr_error', 'pr_options')
retain(ref, h)
say_done(ref, h)
return {'ok', 'pr_created'}
