"""This party in everybody's jobs, ours included: it answers, holds room, starts, stops, publishes, reports, cleans up.

Decides what we agree to, keeps the manifest's limits itself, and may leave a job at once. It never leads: it knows
nothing of the coordinator, and takes orders from a job's initiator only. Read `proposals.py` first, then `attempts.py`.
"""
