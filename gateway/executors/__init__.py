"""Between this party's executors and its gateway: service Executor, and an executor's side of it.

Decides for whom a token stands, and that a message leaves only as the contract of its job says. It never decides when
a message may be let go: the executor says what its checkpoints cover. Read executor_wire.py (an executor's side) or
executor_servicer.py (the gateway's) first; local_exchange.py is both in one process.
"""
