"""The party's only way to other parties.

Decides what may leave this party and what is taken from others: each message is compared with its job's contract
(`contract.py`), signed, and kept in the mailbox before anybody is told that it is there. It never looks into a job:
which conversation is right, when a task begins, and what a value means are handed down by Flow or left to executors.

client.py     the door of the room: all that other rooms may use
contract.py   what a job may say, and the check; read it first, then envelope.py, and server.py, which joins all
admin/        service Admin: for this party's Flow
executors/    service Executor: for this party's executors, and their side of it
transfer/     service Transfer: to and from other parties' gateways
calls/        Flow-to-Flow calls
mailbox/      what is kept: messages, the ledger
"""
