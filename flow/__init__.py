"""Which job runs, when and in what state: Flow decides it, records it, and tells it to people and to other parties.

It never computes, places a process or speaks over the network itself: the Cluster Manager, the gateway and the store
do, each asked at its door (`flow.rooms.ports`). Other rooms ask Flow at `flow.client`. Read `flow/job/states.py` first,
then `flow/coordinator/plan.py`; `flow/service.py` joins the parts.
"""
