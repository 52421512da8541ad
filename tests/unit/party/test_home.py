from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from party import home_init
from party.card import Card
from party.errors import (
    AlreadyRunning,
    BadCard,
    BadSettings,
    CardChanged,
    CardExpired,
    HomeExists,
    NoHome,
    NotAuthenticated,
    PartyNotTrusted,
    UserUnknown,
    WeakPassword,
)
from party.home import PartyHome, find_home
from party.home_init import Ports, create_home, renew_card, save_settings
from party.ids import InvalidName
from party.keys import PartyKeys
from party.seal import seal, unseal
from party.trust import trust, untrust
from party.users import authenticate, authenticate_by_password
from runtime.errors import BadAddress, DiskFull, FileExposed
from tests.unit.party.conftest import NOW

MakeHome = Callable[..., PartyHome]
MakeParty = Callable[..., tuple[PartyKeys, Card]]


def _everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- making


def test_a_new_home_has_keys_card_settings_and_one_user(make_home: MakeHome) -> None:
    home = make_home("alice")
    assert home.party == "alice"
    assert home.card.party == "alice"
    assert home.card.addresses == (home.settings.gateway.listen,)
    assert unseal(home.keys, seal(home.card, b"to me")) == b"to me"
    assert authenticate(home.users(), home.token()).user.name == "admin"
    assert home.trusted() == {}
    assert home.store == str(home.root / "store")
    assert "alice" in repr(home)


def test_a_new_home_is_closed_to_others(make_home: MakeHome) -> None:
    home = make_home()
    for path in (home.root, *home.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_homes_on_one_machine_get_ports_of_their_own(make_home: MakeHome) -> None:
    ports = [
        setting.listen
        for home in (make_home("a"), make_home("b"), make_home("c"))
        for setting in (home.settings.gateway, home.settings.flow, home.settings.board)
    ]
    assert len(set(ports)) == 9


def test_picked_ports_differ_and_avoid_what_they_are_told_to() -> None:
    first = Ports.pick()
    second = Ports.pick(avoid=first.all())
    assert len({*first.all(), *second.all()}) == 6


def test_chosen_ports_and_public_addresses_are_kept(make_home: MakeHome) -> None:
    home = make_home("a", host="0.0.0.0", ports=Ports(9370, 9380, 9390), public=["gw.a.example:443"])
    assert home.settings.gateway.listen == "0.0.0.0:9370"
    assert home.settings.flow.listen == "127.0.0.1:9380"
    assert home.settings.board.listen == "127.0.0.1:9390"
    assert home.card.addresses == ("gw.a.example:443",)
    assert make_home("quiet", public=[]).card.addresses == ()


def test_a_gateway_on_all_interfaces_needs_a_public_address(make_home: MakeHome, tmp_path: Path) -> None:
    with pytest.raises(BadAddress, match=r"0\.0\.0\.0:\d+ is not an address that others can call"):
        make_home(host="0.0.0.0")
    assert _everything(tmp_path) == set()


def test_a_mysql_url_is_kept_in_a_private_file_and_not_in_the_settings(make_home: MakeHome) -> None:
    url = "mysql+pymysql://flow:s3cret@127.0.0.1:3306/alice"
    home = make_home(database=url)
    assert home.database_url() == url
    assert home.settings.flow.database == "mysql"
    assert "s3cret" not in (home.root / "party.toml").read_text()
    (home.root / "keys" / "database.url").chmod(0o644)
    with pytest.raises(FileExposed):
        home.database_url()
    (home.root / "keys" / "database.url").unlink()
    with pytest.raises(BadSettings, match=r"flow\.database_url_file"):
        home.database_url()


def test_sqlite_lies_below_the_home(make_home: MakeHome) -> None:
    home = make_home()
    assert home.database_url() == f"sqlite:///{home.root}/state/flow/flow.sqlite"


@pytest.mark.parametrize(
    ("party", "options", "error"),
    [
        ("Alice", {}, InvalidName),
        ("../alice", {}, InvalidName),
        ("alice", {"database": "postgres"}, BadSettings),
        ("alice", {"database": "mysql"}, BadSettings),
        ("alice", {"public": ["nowhere"]}, BadAddress),
        ("alice", {"host": "a b", "ports": Ports(1, 2, 3)}, BadAddress),
    ],
)
def test_a_wrong_argument_makes_nothing(
    tmp_path: Path, party: str, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        create_home(tmp_path / "deep" / "er" / "home", party, **options)  # type: ignore[arg-type]
    assert _everything(tmp_path) == set()


def test_a_wrong_database_message_does_not_repeat_the_password(tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as caught:
        create_home(tmp_path / "home", "alice", database="mysql://flow:s3cret@h/d")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("step", ["save_keys", "make_card", "save_users", "render_settings", "sync_folder"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_at_any_step_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, exists: bool
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    root = tmp_path / "new" / "home"
    if exists:
        root.mkdir(parents=True)
    before = _everything(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(home_init, step, fail)
        with pytest.raises(DiskFull, match=r"No room left on /\S* for .*/new/home\."):
            create_home(root, "alice")
    assert _everything(tmp_path) == before
    assert create_home(root, "alice").party == "alice"


def test_a_key_press_that_interrupts_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(home_init, "save_users", interrupt)
    with pytest.raises(KeyboardInterrupt):
        create_home(tmp_path / "home", "alice")
    assert _everything(tmp_path) == set()


def test_an_existing_home_is_refused_and_untouched(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home("alice")
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    with pytest.raises(HomeExists, match="A party lives in"):
        create_home(home.root, "mallory")
    assert {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["alice"]


def test_a_folder_with_something_in_it_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("full", "file", "link"):
        with pytest.raises(HomeExists, match="not an empty folder"):
            create_home(tmp_path / name, "alice")
    assert _everything(tmp_path) == {"full", "full/thesis.txt", "file", "link"}


def test_a_home_made_by_another_process_meanwhile_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = home_init.save_users

    def meanwhile(path: Path, users: home_init.Users) -> None:
        real(path, users)
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "party.toml").write_text("theirs")

    monkeypatch.setattr(home_init, "save_users", meanwhile)
    with pytest.raises(HomeExists, match="meanwhile"):
        create_home(tmp_path / "home", "alice")
    assert _everything(tmp_path) == {"home", "home/party.toml"}


def test_an_empty_folder_such_as_a_mounted_volume_becomes_the_home(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    root.mkdir()
    inode = root.stat().st_ino
    assert create_home(root, "alice").token()
    assert root.stat().st_ino == inode
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


# --- finding and opening


def test_the_home_is_the_named_one_then_the_environments_then_the_usual_one(
    make_home: MakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = make_home("alice"), make_home("bob")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NoHome, match=r"\.archipelago") as caught:
        find_home()
    assert "flow party init" in caught.value.hint
    assert caught.value.code == "party.no_home"
    create_home(tmp_path / ".archipelago", "carol")
    assert find_home().party == "carol"
    monkeypatch.setenv("ARCHIPELAGO_HOME", str(bob.root))
    assert find_home().party == "bob"
    assert find_home(str(alice.root)).party == "alice"
    monkeypatch.setenv("ARCHIPELAGO_HOME", str(tmp_path / "gone"))
    with pytest.raises(NoHome, match="gone"):
        find_home()


def test_a_folder_without_settings_is_no_home(tmp_path: Path) -> None:
    with pytest.raises(NoHome, match="flow party init"):
        PartyHome(tmp_path)


def test_a_damaged_card_or_that_of_another_party_is_named(make_home: MakeHome) -> None:
    home, other = make_home("alice"), make_home("bob")
    (home.root / "card.json").write_bytes(other.card.to_json())
    with pytest.raises(BadCard, match="is the card of bob, not of alice"):
        _ = home.card
    (home.root / "card.json").unlink()
    with pytest.raises(BadCard, match="cannot be read"):
        _ = home.card


def test_service_folders_and_logs_lie_below_the_home(make_home: MakeHome) -> None:
    home = make_home()
    assert home.state("gateway") == home.root / "state" / "gateway"
    assert home.state("gateway").is_dir()
    assert home.log_file("flow") == home.root / "logs" / "flow.log"
    with pytest.raises(InvalidName):
        home.state("../keys")


def test_store_and_paths_of_the_settings_are_below_the_home_unless_absolute(make_home: MakeHome) -> None:
    home = make_home()
    for uri, expected in [
        ("data", str(home.root / "data")),
        ("/mnt/data", "/mnt/data"),
        ("s3://bucket/a", "s3://bucket/a"),
    ]:
        store = home.settings.store.model_copy(update={"uri": uri})
        home = save_settings(home, home.settings.model_copy(update={"store": store}))
        assert home.store == expected


def test_a_service_runs_once_on_a_home(make_home: MakeHome) -> None:
    home = make_home()
    held = home.lock("gateway")
    with pytest.raises(AlreadyRunning, match="gateway of alice runs already"):
        home.lock("gateway")
    home.lock("flow").close()
    held.close()
    home.lock("gateway").close()


# --- sockets


def test_sockets_lie_in_the_home_where_the_path_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(tempfile.mkdtemp(prefix="p-"))
    try:
        home = create_home(base / "a", "alice")
        assert home.socket("gateway-admin") == base / "a" / "run" / "gateway-admin.sock"
        assert stat.S_IMODE(home.socket("gateway").parent.stat().st_mode) == 0o700
        assert home.settings.run_dir == ""
    finally:
        shutil.rmtree(base)


def test_sockets_of_a_deep_home_lie_in_a_private_short_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(tempfile.mkdtemp(prefix="p-"))
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    try:
        home = create_home(tmp_path / ("deep" * 25), "alice")
        path = home.socket("gateway-admin")
        assert len(os.fsencode(path)) <= 100
        assert path.parent.parent == base
        assert PartyHome(home.root).socket("gateway-admin") == path
        shutil.rmtree(path.parent)  # a machine that empties its temp folder
        assert stat.S_IMODE(home.socket("gateway").parent.stat().st_mode) == 0o700
        path.parent.chmod(0o755)
        with pytest.raises(FileExposed, match="open to other users"):
            home.socket("gateway")
        path.parent.rmdir()
        path.parent.symlink_to(tmp_path)
        with pytest.raises(FileExposed, match="not a folder that belongs to this user"):
            home.socket("gateway")
    finally:
        shutil.rmtree(base)


def test_a_failed_deep_home_leaves_no_socket_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    monkeypatch.setattr(home_init, "save_users", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        create_home(tmp_path / ("deep" * 25), "alice")
    assert _everything(tmp_path) == {"t"}


def test_a_home_moved_to_a_deep_place_says_what_to_set(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home()
    home = save_settings(home, home.settings.model_copy(update={"run_dir": ""}))
    deep = tmp_path / ("deep" * 25)
    home.root.rename(deep)
    with pytest.raises(BadSettings, match="too long for a Unix socket") as caught:
        PartyHome(deep).socket("gateway")
    assert "run_dir" in caught.value.hint


def test_a_socket_name_is_no_path(make_home: MakeHome) -> None:
    with pytest.raises(ValueError, match="not a socket name"):
        make_home().socket("../x")


# --- users


def test_users_come_and_go_and_their_tokens_are_kept_nowhere(make_home: MakeHome) -> None:
    home = make_home()
    token = home.user_file.add("ada", ["scientist"])
    with pytest.raises(UserUnknown, match="no token of user 'ada'"):
        home.token("ada")
    assert authenticate(home.users(), token).user.roles == {"scientist"}
    fresh = home.user_file.new_token("ada")
    assert authenticate(home.users(), fresh).user.name == "ada"
    with pytest.raises(NotAuthenticated):
        authenticate(home.users(), token)
    home.user_file.remove("ada")
    with pytest.raises(UserUnknown):
        home.user_file.remove("ada")


def test_a_fresh_token_of_the_first_user_lies_where_the_commands_of_this_machine_look(make_home: MakeHome) -> None:
    home = make_home()
    fresh = home.user_file.new_token("admin")
    assert home.token() == fresh
    assert authenticate(home.users(), fresh).user.roles == {"scientist", "operator", "officer"}
    home.user_file.add("ada", ["officer"])
    home.user_file.remove("admin")
    with pytest.raises(UserUnknown, match="no token of user 'admin'"):
        home.token()


def test_users_changed_at_the_same_time_are_all_kept(make_home: MakeHome) -> None:
    home = make_home()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: home.user_file.add(f"user{n}", ["auditor"]), range(8)))
    assert len(list(home.users())) == 9


def test_a_password_is_set_and_taken_away(make_home: MakeHome) -> None:
    home = make_home()
    home.user_file.set_password("admin", "correct horse battery")
    assert authenticate_by_password(home.users(), "admin", "correct horse battery").user.name == "admin"
    home.user_file.set_password("admin", None)
    with pytest.raises(NotAuthenticated):
        authenticate_by_password(home.users(), "admin", "correct horse battery")
    with pytest.raises(WeakPassword):
        home.user_file.set_password("admin", "short")
    with pytest.raises(UserUnknown):
        home.user_file.set_password("eve", "correct horse battery")


def test_a_token_file_that_others_may_read_is_refused(make_home: MakeHome) -> None:
    home = make_home()
    (home.root / "tokens" / "admin.token").chmod(0o644)
    with pytest.raises(FileExposed, match=r"admin\.token"):
        home.token()


# --- trust


def test_trusted_parties_come_in_the_order_of_their_ids(make_home: MakeHome) -> None:
    alice = make_home("alice")
    for name in ("dora", "bob", "carol"):
        assert trust(alice, make_home(name).root / "card.json").party == name
    assert list(alice.trusted()) == ["bob", "carol", "dora"]


def test_trusting_a_card_twice_or_our_own_changes_nothing(make_home: MakeHome) -> None:
    alice, bob = make_home("alice"), make_home("bob")
    for _ in range(2):
        trust(alice, bob.root / "card.json")
        trust(alice, alice.root / "card.json")
    assert alice.trusted() == {"bob": bob.card}


def test_a_renewed_card_takes_the_place_of_the_older_and_not_the_other_way_round(
    make_home: MakeHome, tmp_path: Path
) -> None:
    alice, bob = make_home("alice"), make_home("bob")
    trust(alice, bob.root / "card.json")
    (tmp_path / "old.json").write_bytes(bob.card.to_json())
    old, later = bob.card, bob.card.valid_until
    bob = save_settings(
        bob,
        bob.settings.model_copy(
            update={"gateway": bob.settings.gateway.model_copy(update={"public": ("b.example:1",)})}
        ),
    )
    new = renew_card(bob, now=NOW + timedelta(days=365))
    assert (tmp_path / "bob" / "card.json").read_bytes() == new.to_json()
    assert PartyHome(bob.root).keys.tls_cert_pem.decode() == new.tls_certificate
    assert (new.signing_key, new.sealing_key) == (old.signing_key, old.sealing_key)
    assert later != new.valid_until
    trust(alice, bob.root / "card.json", now=NOW + timedelta(days=366))
    assert alice.trusted_card("bob").addresses == ("b.example:1",)
    with pytest.raises(CardChanged, match="older"):
        trust(alice, tmp_path / "old.json", now=NOW + timedelta(days=366))
    assert alice.trusted_card("bob") == new


def test_a_card_of_the_same_name_with_another_key_needs_people(
    make_home: MakeHome, tmp_path: Path, make_party: MakeParty
) -> None:
    alice = make_home("alice")
    _, bob = make_party("bob")
    _, impostor = make_party("bob")
    for name, card in (("bob.json", bob), ("impostor.json", impostor)):
        (tmp_path / name).write_bytes(card.to_json())
    trust(alice, tmp_path / "bob.json", now=NOW)
    with pytest.raises(CardChanged, match="another signing key") as caught:
        trust(alice, tmp_path / "impostor.json", now=NOW)
    assert impostor.fingerprint in caught.value.hint
    assert alice.trusted_card("bob") == bob
    trust(alice, tmp_path / "impostor.json", replace=True, now=NOW)
    assert alice.trusted_card("bob") == impostor


def test_a_card_that_claims_our_own_id_is_refused(make_home: MakeHome, tmp_path: Path, make_party: MakeParty) -> None:
    alice = make_home("alice")
    (tmp_path / "fake.json").write_bytes(make_party("alice")[1].to_json())
    with pytest.raises(CardChanged, match="our own id"):
        trust(alice, tmp_path / "fake.json", now=NOW)


def test_an_expired_or_absent_card_is_not_trusted(make_home: MakeHome, tmp_path: Path, make_party: MakeParty) -> None:
    alice = make_home("alice")
    (tmp_path / "bob.json").write_bytes(make_party("bob")[1].to_json())
    with pytest.raises(CardExpired):
        trust(alice, tmp_path / "bob.json", now=NOW + timedelta(days=1000))
    with pytest.raises(BadCard, match="cannot be read"):
        trust(alice, tmp_path / "nobody.json")
    assert alice.trusted() == {}


def test_a_trusted_card_that_expires_is_left_out_from_then_on(
    make_home: MakeHome, tmp_path: Path, make_party: MakeParty
) -> None:
    alice = make_home("alice")
    (tmp_path / "bob.json").write_bytes(make_party("bob")[1].to_json())
    trust(alice, tmp_path / "bob.json", now=NOW)
    assert list(alice.trusted(now=NOW + timedelta(days=700))) == ["bob"]
    late = NOW + timedelta(days=800)
    assert (alice.trusted(now=late), str(alice.lapsed(now=late)["bob"])[:31]) == ({}, "The card of bob expired at 2028")
    assert alice.trusted_card("bob").party == "bob"


def test_a_damaged_or_misplaced_trusted_card_is_never_skipped(make_home: MakeHome) -> None:
    alice, bob = make_home("alice"), make_home("bob")
    trust(alice, bob.root / "card.json")
    place = alice.root / "trusted" / "bob.json"
    place.rename(place.with_name("carol.json"))
    with pytest.raises(BadCard, match="is the card of bob"):
        alice.trusted()
    place.with_name("carol.json").write_text("{}")
    with pytest.raises(BadCard, match=r"carol\.json"):
        alice.trusted()


def test_trust_ends_when_it_is_taken_back(make_home: MakeHome) -> None:
    alice, bob = make_home("alice"), make_home("bob")
    trust(alice, bob.root / "card.json")
    untrust(alice, "bob")
    assert alice.trusted() == {}
    with pytest.raises(PartyNotTrusted, match="no card of 'bob'") as caught:
        untrust(alice, "bob")
    assert caught.value.hint == "Known: none."
    with pytest.raises(InvalidName):
        untrust(alice, "../card")
