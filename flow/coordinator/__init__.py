"""The jobs that this party leads: a snapshot is taken, a plan made of it, its moves written, its calls sent.

Decides when a job is agreed on, when an attempt is opened, reserved, started, tried again or given up, and when the job
is over. What happens at a party, our own too, it only orders by messages: it starts no executor and opens no gateway.
Read `plan.py` first, which is pure; then `coordinator.py`.
"""
