#!lua flags=allow-oom
-- LISTEN: a worker says whether its agent takes input now, and what that has taken up; it gets what is to be said.
-- ARGV: 1 ref, 2 token, 3 '1' when it takes input, else '0', 4 ids of the directives taken up in this claim, with blanks
-- -> {'ok', then id and text of each directive that waits for it} | {'fenced'}
local t = read(ARGV[1], 'token', 'claim')
if not t.f.token or t.f.token ~= ARGV[2] then return {'fenced'} end
clear(t, 'listens', 'told', 'heard')
if ARGV[3] == '1' then set(t, {listens = t.f.claim}) end
if ARGV[4] ~= '' then set(t, {heard = ARGV[4]}) end
save(t)
local out = {'ok'}
for _, directive in ipairs(directives.all(t)) do
  if ARGV[3] == '1' and directive.delivery == 'running' and not directives.is_heard(t, directive) then
    out[#out + 1] = directive.id
    out[#out + 1] = directive.text
  end
end
return out
