"""What runs in the warm parent and in its children, the executors: fork, confine, run one role of a component, tell.

It decides what an executor may reach and how the ports of an algorithm's context are carried out. It never starts a
process by itself, and believes nothing of component code. Read `main.py` first, then `child_setup.py` (what a child
does before) and `warm_parent.py`.
"""
