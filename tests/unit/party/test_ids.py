from __future__ import annotations

import pytest

from party.ids import Address, AttemptId, InvalidName, Role, new_job_id, party_id, task_name


def test_an_address_prints_as_it_was_read_and_sorts_by_party_first() -> None:
    texts = ["host:b", "arbiter:b", "guest:a", "host:a"]
    addresses = [Address.parse(text) for text in texts]
    assert [str(address) for address in addresses] == texts
    assert [str(address) for address in sorted(addresses)] == ["guest:a", "host:a", "arbiter:b", "host:b"]


@pytest.mark.parametrize("text", ["", "guest", "guest:", "boss:a", "guest:A", "guest:a:b", "guest: a"])
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        Address.parse(text)


@pytest.mark.parametrize("text", ["a", "hospital-a", "hospital_a2", "a" * 63])
def test_legal_names_are_taken_as_they_are(text: str) -> None:
    assert party_id(text) == task_name(text) == text


@pytest.mark.parametrize("text", ["", "A", "1a", "-a", "a-", "a--b", "a.b", "a/b", "..", "a b", "é", "a" * 64, "a\n"])
def test_names_that_could_be_paths_or_look_alike_are_refused(text: str) -> None:
    with pytest.raises(InvalidName, match="party id"):
        party_id(text)


def test_job_ids_sort_by_the_time_of_their_making_and_attempts_print_whole() -> None:
    first, second = new_job_id(), new_job_id()
    assert len(first) == 26
    assert first[:10] <= second[:10]
    assert str(AttemptId(first, task_name("train"), 2)) == f"{first}/train/2"
    assert Role("guest") is Role.GUEST
