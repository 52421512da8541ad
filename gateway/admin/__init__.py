"""Between this party's Flow and its gateway: service Admin and its client.

Decides nothing but which purposes Flow may sign for; each call is handed to the folder that it is about. It never
serves executors or strangers: who calls has shown the key of the party's services. Read admin_client.py first.
"""
