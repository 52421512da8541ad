"""Where batch functions run on several cores: processes of the executor's own.

It decides how batches are shared out and what a lost process means. It never knows what is computed: a name and bytes
cross. Read `workers.py` first; what an algorithm sees of it is `api/compute.py`.
"""
