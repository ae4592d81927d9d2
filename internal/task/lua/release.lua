#!lua flags=allow-oom
-- RELEASE: open an `until` gate by hand.
-- ARGV: 1 gate, 2 operation id, 3 '' or the tenant whose gate it must be
-- -> {'ok'} | {'missing'} no such gate is shut
local gate, tenant = ARGV[1], ARGV[3]
if tenant ~= '' and tenant_of(gate) ~= tenant then return {'missing'} end
local done = gate_key(gate, 'released')
if redis.call('EXISTS', gate_key(gate, 'until')) == 0 then
  return {redis.call('GET', done) == ARGV[2] and 'ok' or 'missing'}  -- repeated by the client library
end
open_gate(gate)
redis.call('SET', done, ARGV[2], 'EX', 60)
return {'ok'}
