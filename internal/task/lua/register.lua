#!lua flags=allow-oom
-- REGISTER: a worker starts (or, with '1', stops in good order).
-- ARGV: 1 worker, 2 home, 3 registry record as JSON, 4 '1' when it leaves
-- -> number of tasks that waited for this home and are back in its lists (REAP brings what is beyond 256)
if ARGV[4] == '1' then
  leave_registry(ARGV[1], ARGV[2])
  return 0
end
enter_registry(ARGV[1], ARGV[2], ARGV[3])
return return_home(ARGV[2], 256)
