"""The manifest: the signed, canonical contract of a job. Making it and checking it; no I/O, signatures by a callback.

A manifest holds when its digest fits, the proposal is the one that each party answered, every party of the job has
answered once, all agree, every signature is that party's, and all speak a version of the API of algorithms that every
other knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256

from algorithms.code_digest import API_MINIMUM, API_VERSION
from flow.errors import ApiMismatch, ManifestMismatch
from flow.job.binding import BoundTask
from flow.job.row_counts import Place, told_places, with_rows
from flow.job.spec import JobSpec
from flow.protocol.messages import Answer, ApiVersions, Decision, Manifest, Proposal, SignedAnswer
from party.ids import Address
from runtime.canonical import canonical_digest, canonical_json

MAX_ANSWER_BYTES = 512 << 10  # all answers go back to every party in one call
ANSWER_PURPOSE = "flow/answer/v1"
OUR_API = ApiVersions(minimum=API_MINIMUM, version=API_VERSION)

Verify = Callable[[str, str, bytes, bytes], None]
"""Raises unless the party (first) signed the message (third) for the purpose (second)."""


def proposal_digest(proposal: Proposal) -> str:
    """SHA-256 of the canonical proposal: what the parties sign."""
    return canonical_digest(proposal.model_dump(mode="json", by_alias=True))


def signed_bytes(answer: Answer) -> bytes:
    """The bytes of an answer that its party signs."""
    return canonical_json(answer.model_dump(mode="json", by_alias=True))


def make_manifest(proposal: Proposal, answers: Iterable[SignedAnswer]) -> Manifest:
    """The contract of a job that every party agreed to."""
    ordered = tuple(sorted(answers, key=lambda signed: signed.answer.party))
    return Manifest(proposal=proposal, answers=ordered, digest=_digest(proposal, ordered))


def check_answer(signed: SignedAnswer, party: str, proposal: Proposal, verify: Verify) -> None:
    """Raise ManifestMismatch or the verifier's error unless this is the party's own answer to this proposal."""
    require_answer(signed.answer, party, proposal)
    verify(party, ANSWER_PURPOSE, signed_bytes(signed.answer), _signature(signed))


def require_answer(answer: Answer, party: str, proposal: Proposal) -> None:
    """Raise ManifestMismatch unless the answer is a party's to this proposal, if it is what it says it is."""
    if answer.party != party or answer.job != proposal.job:
        raise ManifestMismatch(f"An answer of {answer.party} to job {answer.job} came from {party}.")
    if len(signed_bytes(answer)) > MAX_ANSWER_BYTES:
        raise ManifestMismatch(f"The answer of {party} is larger than {MAX_ANSWER_BYTES} bytes.")
    if answer.proposal_digest != proposal_digest(proposal):
        raise ManifestMismatch(f"{party} answered another proposal of job {proposal.job}.")


def require_common_api(speaks: Mapping[str, ApiVersions]) -> None:
    """Raise ApiMismatch, naming two parties, unless each of them speaks a version that every other knows."""
    newest, oldest = max(speaks, key=lambda p: speaks[p].minimum), min(speaks, key=lambda p: speaks[p].version)
    if speaks[newest].minimum > speaks[oldest].version:
        raise ApiMismatch(
            f"{newest} speaks version {speaks[newest]} of the API of algorithms, {oldest} {speaks[oldest]}.",
            hint=f"The release of {oldest} is the older one and must be upgraded.",
        )


def check_manifest(manifest: Manifest, spec: JobSpec, own: SignedAnswer, verify: Verify) -> None:
    """Check everything about a manifest from the point of view of one party.

    Raises:
        ManifestMismatch: What does not fit, naming the party.
        ApiMismatch: Two parties speak no common version of the API of algorithms.
    """
    if manifest.digest != _digest(manifest.proposal, manifest.answers):
        raise ManifestMismatch("The manifest's digest does not fit its contents.")
    parties = tuple(signed.answer.party for signed in manifest.answers)
    if parties != spec.parties:
        raise ManifestMismatch(f"The manifest holds answers of {', '.join(parties)}, not of every party of the job.")
    for signed in manifest.answers:
        check_answer(signed, signed.answer.party, manifest.proposal, verify)
        if signed.answer.decision is not Decision.AGREE:
            raise ManifestMismatch(f"{signed.answer.party} did not agree to job {manifest.proposal.job}.")
    if own not in manifest.answers:
        raise ManifestMismatch("The manifest does not hold the answer that we gave.")
    require_common_api(manifest.speaks)


def settled(manifest: Manifest, tasks: Mapping[str, BoundTask]) -> dict[str, BoundTask]:
    """The tasks with what the parties' answers say of the models and tables that they bring. Raises as `answered`."""
    return answered([signed.answer for signed in manifest.answers], tasks)


def answered(answers: Sequence[Answer], tasks: Mapping[str, BoundTask]) -> dict[str, BoundTask]:
    """The tasks with what answers of all parties say of the models and tables that they bring.

    Raises ManifestMismatch if parties bring models of different kinds for one input, or one does not tell its rows.
    """
    told: dict[Place, int] = {}
    for answer in answers:
        for task, sides in answer.tables.items():
            for text, inputs in sides.items():
                address = Address.parse(text)
                if address.party == answer.party:
                    told |= {(task, address, name): t.rows for name, t in inputs.items() if t.rows is not None}
    for task, address, name in sorted(told_places(tasks) - told.keys()):
        raise ManifestMismatch(f"tasks.{task}.inputs.{name}: {address.party} does not tell how many rows it has.")
    return {name: task.with_models(_models(answers, task)) for name, task in with_rows(tasks, told).items()}


def job_seed(number: int) -> str:
    """The common seed of a job, hex, 32 bytes, from the number in its settings."""
    return sha256(b"archipelago/job-seed/v1" + number.to_bytes(8, "big")).hexdigest()


def task_seed(seed: str, task: str) -> str:
    """The common seed of one task of the job with that seed, hex, 32 bytes."""
    return sha256(bytes.fromhex(seed) + b"/task/" + task.encode()).hexdigest()


def _models(answers: Sequence[Answer], task: BoundTask) -> dict[str, str]:
    """The kinds of the earlier models of a task, by input, as their holders say."""
    found: dict[str, str] = {}
    for answer in answers:
        for name, kind in answer.models.get(task.name, {}).items():
            if found.setdefault(name, kind) != kind:
                raise ManifestMismatch(
                    f"tasks.{task.name}.inputs.{name}: {answer.party} holds a model of kind {kind}, others of "
                    f"kind {found[name]}."
                )
    return found


def _digest(proposal: Proposal, answers: tuple[SignedAnswer, ...]) -> str:
    return canonical_digest(
        {
            "schema": 1,
            "proposal": proposal.model_dump(mode="json", by_alias=True),
            "answers": [signed.model_dump(mode="json", by_alias=True) for signed in answers],
        }
    )


def _signature(signed: SignedAnswer) -> bytes:
    try:
        return bytes.fromhex(signed.signature)
    except ValueError:
        raise ManifestMismatch(f"The signature of {signed.answer.party} is not hexadecimal.") from None
