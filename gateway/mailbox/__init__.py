"""What a gateway keeps: messages that wait to leave or to be read, open jobs, and the ledger.

Decides that the first write of a key wins, what is a conflict, and when a body is deleted. It never speaks to anybody
and judges no message; who puts one in has checked it. Read store.py first: it says what every body of the mailbox
promises; disk.py is the one that is shipped.
"""
