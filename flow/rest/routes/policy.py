"""Routes about what this party agrees to: a proposal as its people should see it, and the policies that decide."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, JsonValue

from algorithms.registry import components
from flow.protocol.policy_check import KnownHere, require_known
from flow.rest.access import (
    Caller,
    ManagePolicy,
    ManageSomeModel,
    ManageSomeTable,
    ReadJob,
    ReadModel,
    ReadPolicy,
    ReadTable,
)
from flow.rest.backends import Backends
from flow.rest.routes.tables import table_reference
from flow.views.jobs import PolicyView, ProposalView
from party.users import Thing
from storage.client import OutputRef, UsePolicy

router = APIRouter(tags=["policy"])


class PolicyChange(BaseModel):
    """New values of keys of the `[policy]` section; keys that are not named stay as they are."""

    model_config = ConfigDict(extra="forbid")
    values: dict[str, JsonValue]


@router.get("/jobs/{job}/proposal", summary="What a person decides about")
def proposal(known: ReadJob, job: str) -> ProposalView:
    """Own tables and models, parameters that differ from defaults, every line that would be said, who learns what."""
    return known.backends.service.proposal(job)


@router.get("/party/policy", summary="What this party agrees to")
def policy(known: ReadPolicy) -> PolicyView:
    """As it is decided by now."""
    return known.backends.policy.view()


@router.put("/party/policy", summary="Change what this party agrees to")
def change_policy(known: ManagePolicy, body: Annotated[PolicyChange, Body()]) -> PolicyView:
    """Written to the settings file and taken up at once: proposals and starts that come after it are judged by it.

    Components and parties that are not known here are refused; what stood there before may stay.
    """
    return known.backends.policy.change(body.values, known.user.name)


@router.get("/tables/{namespace}/{name}/policy", summary="What a table may be used for")
def table_policy(known: ReadTable, namespace: str, name: str) -> UsePolicy:
    """The same for every version."""
    return known.backends.store.use.of_table(table_reference(namespace, name, None))


@router.put("/tables/{namespace}/{name}/policy", summary="Set what a table may be used for")
def set_table_policy(
    known: ManageSomeTable, namespace: str, name: str, body: Annotated[UsePolicy, Body()]
) -> UsePolicy:
    """For every version, deleted ones and those to come too, and for what is made of it; its owner or an officer may.

    Tasks that start later are held to it. Where deleted versions belong to another user, it takes an officer.
    """
    return _set_table(known, namespace, name, body)


@router.delete("/tables/{namespace}/{name}/policy", summary="Take a table's use policy back")
def clear_table_policy(known: ManageSomeTable, namespace: str, name: str) -> UsePolicy:
    """What holds without one."""
    return _set_table(known, namespace, name, None)


@router.get("/models/{job}/{output}/policy", summary="What a model may be used for")
def model_policy(known: ReadModel, job: str, output: str) -> UsePolicy:
    """`peers` are granted it beside the parties that hold a part of it."""
    known.backends.store.models.info(f"{job}/{output}")
    return known.backends.store.use.of_model(OutputRef.parse(f"{job}/{output}"))


@router.put("/models/{job}/{output}/policy", summary="Set what a model may be used for")
def set_model_policy(known: ManageSomeModel, job: str, output: str, body: Annotated[UsePolicy, Body()]) -> UsePolicy:
    """Its owner or an officer may. Tasks that start later are held to it, also for what is made of it."""
    return _set_model(known, job, output, body)


@router.delete("/models/{job}/{output}/policy", summary="Take a model's use policy back")
def clear_model_policy(known: ManageSomeModel, job: str, output: str) -> UsePolicy:
    """Only the parties that hold a part of it use it then."""
    return _set_model(known, job, output, None)


def _set_table(known: Caller, namespace: str, name: str, body: UsePolicy | None) -> UsePolicy:
    reference = table_reference(namespace, name, None)
    for manifest in known.backends.tables.history(reference):
        known.may("manage", Thing("table", reference, known.backends.owner_of_table(manifest)))
    use = known.backends.store.use
    if body is not None:
        require_known(body, use.of_table(reference), _here(known.backends))
    return use.set_table(reference, body)


def _set_model(known: Caller, job: str, output: str, body: UsePolicy | None) -> UsePolicy:
    ref = OutputRef.parse(f"{job}/{output}")
    known.backends.store.models.info(ref)
    known.may("manage", Thing("model", str(ref), known.backends.owner_of(ref.job)))
    use = known.backends.store.use
    if body is not None:
        require_known(body, use.of_model(ref), _here(known.backends))
    return use.set_model(ref, body)


def _here(backends: Backends) -> KnownHere:
    users = frozenset(user.name for user in backends.book.users())
    return KnownHere(components(), frozenset(backends.parties()), users, backends.clock.now())
