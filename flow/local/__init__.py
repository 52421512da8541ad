"""A job in one process: the same job.json and components, a thread for each address, and nobody asked.

`data` says which file stands for which table, `run` runs the tasks and tells of them as Flow does. No party, no service
and no network; what people decide about (policies, trust, approval) is not asked. Read `run` first.
"""
