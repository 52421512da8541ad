from __future__ import annotations

import json
from hashlib import sha256

import pytest

from flow.errors import ApiMismatch, BadMessage, ManifestMismatch, UnknownSchema
from flow.job.binding import bind
from flow.job.spec import parse_job
from flow.participant.launch import Launch, contract_for, order_for
from flow.protocol.manifest import (
    ANSWER_PURPOSE,
    OUR_API,
    check_answer,
    check_manifest,
    make_manifest,
    proposal_digest,
    signed_bytes,
    task_seed,
)
from flow.protocol.messages import (
    Ack,
    Answer,
    ApiVersions,
    BroughtTable,
    Decision,
    KeptSteps,
    Manifest,
    MetricReport,
    Proposal,
    Report,
    SignedAnswer,
    decode,
    encode,
)
from party.ids import Address, AttemptId, JobId, TaskName
from runtime.clock import HybridTime
from runtime.errors import Denied
from storage.client import TableRoles
from tests.fakes.flow_world import COMPONENTS, component, train_job

JOB = "01M84NKVCS9025W7T6P1XBY3P8"
HLC = HybridTime(1_700_000_000_000, 7)
SPEC = parse_job(json.dumps(train_job()).encode())
TASKS = bind(SPEC, component)[0]
PROPOSAL = Proposal(
    job=JOB, initiator="a", user="ann", spec=SPEC.document(), spec_digest=SPEC.digest(), seed="5" * 64,
    code={c.reference: c.code_digest for c in COMPONENTS.values()}, api=OUR_API, submitted_ms=1,
)  # fmt: skip


class Forged(Denied):
    code = "test.forged"


def sign(party: str, purpose: str, message: bytes) -> bytes:
    return sha256(party.encode() + purpose.encode() + message).digest()


def verify(party: str, purpose: str, message: bytes, signature: bytes) -> None:
    if signature != sign(party, purpose, message):
        raise Forged("forged")


def signed(party: str, decision: Decision = Decision.AGREE, **changes: object) -> SignedAnswer:
    table = BroughtTable(reference="breast/train@4", roles=TableRoles(id="id", label="label"))
    tables = {"train": {f"host:{party}": {"train": table}}} if party == "b" else {}
    answer = Answer(
        api=OUR_API, job=JOB, party=party, proposal_digest=proposal_digest(PROPOSAL), decision=decision, tables=tables
    )
    answer = answer.model_copy(update=changes)
    return SignedAnswer(answer=answer, signature=sign(party, ANSWER_PURPOSE, signed_bytes(answer)).hex())


ALL = [signed("c"), signed("a"), signed("b")]
GOOD = make_manifest(PROPOSAL, ALL)


def test_a_manifest_of_three_signed_answers_holds_for_each_party() -> None:
    for own in ALL:
        check_manifest(GOOD, SPEC, own, verify)
    assert [s.answer.party for s in GOOD.answers] == ["a", "b", "c"]
    assert Manifest.model_validate_json(GOOD.model_dump_json(by_alias=True)) == GOOD


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (GOOD.model_copy(update={"digest": "0" * 64}), "digest does not fit"),
        (make_manifest(PROPOSAL, ALL[:2]), "not of every party"),
        (make_manifest(PROPOSAL, [signed("a"), signed("b", Decision.REFUSE), signed("c")]), "b did not agree"),
        (make_manifest(PROPOSAL, [signed("a"), signed("b", share=("logs",)), signed("c")]), "the answer that we gave"),
        (make_manifest(PROPOSAL, [*ALL[1:], signed("c", proposal_digest="0" * 64)]), "another proposal"),
        (make_manifest(PROPOSAL, [*ALL[1:], ALL[0].model_copy(update={"signature": "xx"})]), "not hexadecimal"),
        (make_manifest(PROPOSAL, [*ALL[1:], signed("c", job="other")]), "answer of c to job other"),
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_hold_says_why(manifest: Manifest, says: str) -> None:
    with pytest.raises(ManifestMismatch, match=says):
        check_manifest(manifest, SPEC, ALL[2], verify)


def test_a_forged_signature_is_refused() -> None:
    forged = ALL[0].model_copy(update={"signature": "00" * 32})
    with pytest.raises(Forged):
        check_manifest(make_manifest(PROPOSAL, [*ALL[1:], forged]), SPEC, ALL[2], verify)


def test_parties_that_both_go_with_the_initiator_must_go_with_each_other() -> None:
    b, c = (
        signed(party, api=ApiVersions(minimum=minimum, version=version))
        for party, minimum, version in (("b", 1, 1), ("c", 2, 3))
    )
    a = signed("a", api=ApiVersions(minimum=1, version=2))
    check_manifest(make_manifest(PROPOSAL, [a, b, ALL[0]]), SPEC, a, verify)
    with pytest.raises(ApiMismatch, match=r"^c speaks version 2 to 3 .*, b 1\. The release of b is the older one"):
        check_manifest(make_manifest(PROPOSAL, [a, b, c]), SPEC, a, verify)


def test_each_task_has_its_own_seed() -> None:
    assert task_seed(GOOD.proposal.seed, "train") != task_seed(GOOD.proposal.seed, "score")
    assert len(bytes.fromhex(task_seed(GOOD.proposal.seed, "train"))) == 32


def test_the_gateway_is_told_who_may_say_what_to_whom() -> None:
    contract = contract_for(GOOD, TASKS, "b")
    assert (contract.job, contract.manifest_digest) == (JOB, GOOD.digest)
    [line] = contract.tasks["train"]
    assert line.frm == {"guest:a", "host:b"}
    assert line.to == {"arbiter:c"}
    assert (line.tag, line.protection, line.kind, line.max_bytes) == ("update", "plain", "array", 1 << 20)
    assert "score" not in contract.tasks
    assert contract_for(GOOD, TASKS, "a").tasks["score"] == ()


def test_two_manifests_of_one_proposal_both_hold_and_their_contracts_tell_them_apart() -> None:
    """An initiator may answer its own proposal twice; gateways compare what the contracts name."""
    kept = KeptSteps(job="01M84NKVCS9025W7T6P1XBY3P7", task="train", attempt=1, address="guest:a", steps=(5,))
    other = make_manifest(PROPOSAL, [ALL[0], signed("a", checkpoints=(kept,)), ALL[2]])
    check_manifest(GOOD, SPEC, ALL[2], verify)
    check_manifest(other, SPEC, ALL[0], verify)
    assert contract_for(GOOD, TASKS, "b").manifest_digest != contract_for(other, TASKS, "c").manifest_digest


def test_an_order_names_the_agreed_table_version_and_the_published_model() -> None:
    name = AttemptId(JobId(JOB), TaskName("train"), 2)
    launch = Launch(gateway="sock", store="store", token="secret", incarnation=1)
    order = order_for(GOOD, TASKS["train"], Address.parse("host:b"), name, launch)
    assert order.inputs["train"].reference == "breast/train@4"
    assert order.parameters == {"rounds": 2, "secure": "plain"}
    assert order.addresses == ("guest:a", "host:b", "arbiter:c")
    assert order.code_digest == COMPONENTS["train"].code_digest
    assert "secret" not in repr(launch)
    score = AttemptId(JobId(JOB), TaskName("score"), 1)
    order = order_for(GOOD, TASKS["score"], Address.parse("guest:a"), score, launch)
    assert order.inputs["model"].model_dump() == {"kind": "model", "reference": f"{JOB}/train.model"}
    assert order.outputs == ("roc",)


# -- messages --------------------------------------------------------------------------------------------------------
def test_a_message_comes_back_with_its_clock_even_with_numbers_that_json_lacks() -> None:
    news = MetricReport(task="t", attempt=1, address="guest:a", name="loss", step=0, value=float("-inf"), at_ms=5)
    report = Report(job=JOB, metrics=(news,))
    assert decode(Report, encode(report, HLC)) == (report, HLC)
    assert decode(Manifest, encode(GOOD, HLC))[0] == GOOD


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"{", BadMessage),
        (b"[]", BadMessage),
        (b'{"hlc":"1.1","body":{}}', BadMessage),
        (b'{"schema":2,"hlc":"1.1","body":{}}', UnknownSchema),
        (b'{"schema":1,"body":{}}', BadMessage),
        (b'{"schema":1,"hlc":"x","body":{}}', BadMessage),
        (b'{"schema":1,"hlc":"1.1","body":{"surprise":1}}', BadMessage),
        (b" " * (9 << 20), BadMessage),
    ],
)
def test_a_message_of_another_form_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(Ack, data)


@pytest.mark.parametrize("field", ["share", "unknown", "tables", "reasons"])
def test_what_is_wrong_with_a_message_is_not_listed_without_end(field: str) -> None:
    body = {field: dict.fromkeys(map(str, range(9_000)), 0) if field in ("tables", "unknown") else [0] * 9_000}
    told = {"schema": 1, "hlc": str(HLC), "body": body | dict.fromkeys(map(str, range(2_000)), 0)}
    with pytest.raises(BadMessage, match=r"Answer: \d+ things are wrong with it"):
        decode(Answer, json.dumps(told).encode())
    told["body"] = {field: [0] * 300_000}
    with pytest.raises(BadMessage, match="holds more than 200000 values"):
        decode(Answer, json.dumps(told).encode())


def test_an_answer_that_fills_the_call_to_all_is_refused_by_its_name() -> None:
    with pytest.raises(ManifestMismatch, match="The answer of b is larger than"):
        check_answer(signed("b", models={f"t{n}": {"x" * 60: "x" * 60} for n in range(6_000)}), "b", PROPOSAL, verify)
