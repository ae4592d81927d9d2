#!lua flags=allow-oom
-- SIGNAL: count what an attempt has shown of its watchdog signals, and raise the levels of its scopes by them.
-- ARGV: 1 ref, 2 token, 3 rules of the signals it has shown (internal/control/escalation.py)
-- -> {'ok'} | {'fenced'}
-- An attempt is counted once however often this is sent.
local t = read(ARGV[1], 'token', 'claim', 'worker', 'gates', 'seq')
if not t.f.token or t.f.token ~= ARGV[2] then return {'fenced'} end
note_signals(t, ARGV[3])
save(t)
return {'ok'}
