"""Pages for people: what jobs do, round by round. It asks only `flow.client`."""
