"""
The service, as packages on floors; imports only go down (pyproject.toml, `[tool.importlinter]`).

    7  codeforge (cmd/codeforge)   command line, wiring, client
    6  server | worker             the two edges; they never import each other
    5  task                        service > store, queue, eventlog > state, event > model
    4  access | agent | git | keys | profile | webhook | workspace | control   capabilities
    3  mcp                         what agents may be given
    2  rdb | egress | config ; process
    1  telemetry
    0  crypto ; errors | clock | ids | redact | backoff | fault

A file's name tells its role: `model` is data, `state`/`event` are rules, `store`/`queue`/
`eventlog`/`outbox` speak Redis, `service` holds use cases, `base` a protocol, `catalog` one table
of names.
"""
