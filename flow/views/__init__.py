"""What people and programs are shown: frozen records, and sentences about them.

Decides how a fact is named and worded, the same in the service, in REST and in the client. It never looks anything up,
and no decision is made by what stands here. Read `jobs.py` first.
"""
