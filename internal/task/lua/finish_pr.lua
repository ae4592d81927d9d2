#!lua flags=allow-oom
-- FINISH_PR: end a create-pr run, with its pull request or with everything as it was before.
-- ARGV: 1 ref, 2 token, 3 operation id, 4 pull request URL or '', 5 its number, 6 branch, 7 '1' when it was updated,
--       8 reason and 9 message of the failure when there is no URL
-- -> {'ok', state} | {'dup', state} | {'fenced', state or ''} | {'cancelled'} a cancel was accepted: report that
--    instead | {'illegal', state}
local t, op, url, number, branch = load(ARGV[1]), ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local f = t.f
if not f.status then return {'fenced', ''} end
if f.op == op then return {'dup', f.status} end
if f.token ~= ARGV[2] then return {'fenced', f.status} end
if f.kind ~= 'publish' then return {'illegal', f.status} end
if url == '' then
  if f.cancel and ARGV[8] ~= 'canceled' then return {'cancelled'} end
  if ARGV[8] == 'canceled' then directives.drop(t) end
  release(t)
  return {'ok', fail_publish(t, ARGV[8], ARGV[9], op)}
end
assert(number, 'a pull request has a number')
release(t)
set(t, {op = op, pr_url = url, pr_number = number, branch = branch, finished_at = NOW})
set_state(t, 'pr_created')
emit(t, 'git', 'pr_created', '{"pr_url":' .. quote(url) .. ',"pr_number":' .. text(number) .. ',"branch":' .. quote(branch)
  .. ',"updated":' .. (ARGV[7] == '1' and 'true' or 'false') .. '}')
count('pull_requests:' .. (ARGV[7] == '1' and 'updated' or 'created'))
announce(t, 'task.pr_created', 'pr_created', (f.changes and ',"changes_summary":' .. f.changes or '') .. ',"usage":' .. f.usage)
return {'ok', close_run(t)}
