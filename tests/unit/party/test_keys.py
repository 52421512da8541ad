from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from party.card import Card
from party.errors import BadKeys
from party.ids import party_id
from party.keys import PartyKeys, certificate_der, load_keys, make_keys, renewed, save_keys
from runtime.errors import FileExposed

MakeParty = Callable[..., tuple[PartyKeys, Card]]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_keys(tmp_path / "keys", make_keys(party_id("bob"), ["10.0.0.2:1"]))
    return tmp_path / "keys"


def test_keys_come_back_as_they_were_saved(tmp_path: Path) -> None:
    keys = make_keys(party_id("bob"))
    save_keys(tmp_path / "keys", keys)
    found = load_keys(tmp_path / "keys")
    assert found.tls_key_pem == keys.tls_key_pem
    assert found.tls_cert_pem == keys.tls_cert_pem
    assert found.master == keys.master
    assert found.signing.private_bytes_raw() == keys.signing.private_bytes_raw()
    assert found.sealing.private_bytes_raw() == keys.sealing.private_bytes_raw()


def test_two_parties_share_no_key() -> None:
    one, two = make_keys(party_id("a")), make_keys(party_id("a"))
    assert one.master != two.master
    assert one.tls_key_pem != two.tls_key_pem
    assert one.signing.private_bytes_raw() != two.signing.private_bytes_raw()


def test_key_files_belong_to_their_owner_alone(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert sorted(path.name for path in saved.iterdir()) == [
        "master.key",
        "sealing.key",
        "signing.key",
        "tls.crt",
        "tls.key",
    ]
    for path in saved.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["tls.key", "signing.key", "sealing.key", "master.key"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_file_that_others_may_touch_is_refused_and_says_what_to_do(saved: Path, name: str, mode: int) -> None:
    (saved / name).chmod(mode)
    with pytest.raises(FileExposed, match=name) as caught:
        load_keys(saved)
    assert "chmod 600" in caught.value.hint


def test_a_key_folder_that_others_may_enter_is_refused(saved: Path) -> None:
    saved.chmod(0o755)
    with pytest.raises(FileExposed) as caught:
        load_keys(saved)
    assert "chmod 700" in caught.value.hint


@pytest.mark.parametrize("name", ["tls.key", "tls.crt", "signing.key", "sealing.key", "master.key"])
def test_a_missing_or_damaged_key_file_is_named(saved: Path, name: str) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadKeys, match=name):
        load_keys(saved)
    (saved / name).unlink()
    with pytest.raises(BadKeys, match=f"{name} does not exist"):
        load_keys(saved)


def test_keys_put_into_each_others_files_are_noticed(saved: Path) -> None:
    (saved / "sealing.key").write_bytes((saved / "signing.key").read_bytes())
    with pytest.raises(BadKeys, match="another kind of key than X25519"):
        load_keys(saved)


def test_a_certificate_of_another_key_is_noticed(saved: Path) -> None:
    (saved / "tls.crt").write_bytes(make_keys(party_id("bob")).tls_cert_pem)
    with pytest.raises(BadKeys, match=r"not the certificate of tls\.key"):
        load_keys(saved)


def test_an_absent_key_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadKeys, match="does not exist"):
        load_keys(tmp_path / "keys")


def test_keys_have_no_printable_form() -> None:
    keys = make_keys(party_id("bob"))
    assert repr(keys) == str(keys) == f"{keys}" == "<PartyKeys>"


def test_the_certificate_names_the_party_and_the_hosts_it_is_reached_by() -> None:
    keys = make_keys(party_id("bob"), ["10.0.0.2:1", "gw.example:2", "[::1]:3", "gw.example:4"])
    names = (
        x509.load_pem_x509_certificate(keys.tls_cert_pem)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert names.get_values_for_type(x509.DNSName) == ["bob", "gw.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.2", "::1"]


def test_a_certificate_cannot_issue_others() -> None:
    found = x509.load_pem_x509_certificate(make_keys(party_id("bob")).tls_cert_pem)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_a_renewed_certificate_keeps_every_key(make_party: MakeParty) -> None:
    keys, _ = make_party("bob")
    new = renewed(keys, party_id("bob"), ["10.0.0.9:1"])
    assert new.tls_cert_pem != keys.tls_cert_pem
    assert new.tls_key_pem == keys.tls_key_pem
    assert new.master == keys.master


def test_text_that_is_no_certificate_is_refused() -> None:
    with pytest.raises(BadKeys, match=r"X\.509"):
        certificate_der(b"nonsense")
