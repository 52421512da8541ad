import os
import re
import stat
import tomllib
from pathlib import Path

import pytest
import yaml

from deploy import compose
from deploy.__main__ import main
from deploy.errors import BadComposeFolder, HalfASecret, NoHostAddress
from deploy.requirements import requirements
from party.home import PartyHome
from party.home_init import create_home, save_settings
from party.settings import NodeSettings, load_settings

SERVICES = {"gateway", "flow", "cluster-manager", "node-manager", "board", "mysql"}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_every_service_of_a_party_is_there_with_its_command(written):
    services = written["services"]
    assert set(services) == SERVICES
    for name in SERVICES - {"mysql"}:
        room = name.replace("-", "_")
        assert services[name]["command"][:5] == ["python", "-m", room, "--home", "/party"]
    assert written["name"] == "archipelago-hospital-a"


def test_every_service_has_a_health_check_a_restart_policy_and_limits(written):
    for name, service in written["services"].items():
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert service["restart"] == "unless-stopped", name
        assert service["cpus"] > 0, name
        assert re.fullmatch(r"[1-9][0-9]+m", service["mem_limit"]), name
        assert service["pids_limit"] > 0, name


def test_no_service_runs_as_root_or_keeps_any_privilege(written):
    for name, service in written["services"].items():
        uid, _, gid = service["user"].partition(":")
        assert int(uid) > 0, name
        assert int(gid) > 0, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service), name


def test_services_start_in_the_order_of_health(written):
    after = {name: service.get("depends_on", {}) for name, service in written["services"].items()}
    assert {name: set(others) for name, others in after.items()} == {
        "mysql": set(),
        "gateway": set(),
        "node-manager": set(),
        "cluster-manager": {"node-manager"},
        "flow": {"mysql", "gateway", "cluster-manager"},
        "board": {"flow"},
    }
    assert all(how["condition"] == "service_healthy" for others in after.values() for how in others.values())


def test_only_gateway_flow_and_board_reach_the_outside_and_the_database_reaches_nobody(written):
    services = written["services"]
    assert {name for name in SERVICES if "outward" in services[name].get("networks", [])} == {
        "gateway",
        "flow",
        "board",
    }
    assert services["mysql"]["networks"] == ["inside"]
    assert written["networks"]["inside"]["internal"] is True
    assert {name for name in SERVICES if services[name].get("network_mode") == "none"} == {
        "node-manager",
        "cluster-manager",
    }
    assert {name: service.get("ports") for name, service in services.items() if "ports" in service} == {
        "gateway": ["127.0.0.1:21001:21001"],
        "flow": ["127.0.0.1:21002:21002"],
        "board": ["127.0.0.1:21003:21003"],
    }


def test_passwords_are_random_private_files_and_stand_nowhere_else(home, folder, tmp_path):
    text = compose.write(home, folder).read_text()
    other = create_home(tmp_path / "other", "hospital-b")
    compose.write(other, tmp_path / "other-compose")
    found = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    assert set(found) == {"database_url", "database_password", "database_root_password"}
    assert mode(folder / "secrets") == 0o700
    for name, secret in found.items():
        assert mode(folder / "secrets" / name) == 0o600
        assert secret not in text
        assert secret != (tmp_path / "other-compose/secrets" / name).read_text()
    assert len(found["database_password"]) >= 40
    assert found["database_password"] != found["database_root_password"]
    assert found["database_password"] in found["database_url"]
    for path in (folder / "settings").iterdir():
        assert found["database_password"] not in path.read_text()


def test_no_password_is_given_in_the_compose_file_itself(written):
    for service in written["services"].values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key:
                assert key.endswith("_FILE")
                assert value.startswith("/run/secrets/")
    assert {entry["file"] for entry in written["secrets"].values()} == {
        "./secrets/database_url",
        "./secrets/database_password",
        "./secrets/database_root_password",
    }
    users = {name for name, service in written["services"].items() if "database_url" in service.get("secrets", [])}
    assert users == {"flow"}


def test_writing_prints_nothing(home, folder, capfd):
    compose.write(home, folder)
    assert capfd.readouterr() == ("", "")


def test_writing_again_keeps_the_secrets_and_follows_the_settings(home, folder):
    compose.write(home, folder)
    before = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    changed = home.settings.model_copy(update={"node": NodeSettings(cores=1, memory="2GiB", gpus=1)})
    home = save_settings(home, changed)
    again = yaml.safe_load(compose.write(home, folder).read_text())
    assert {path.name: path.read_text() for path in (folder / "secrets").iterdir()} == before
    node = again["services"]["node-manager"]
    assert node["cpus"] == 1
    assert node["mem_limit"] == "2816m"
    assert node["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 1
    assert load_settings(folder / "settings/node-manager.toml").node == changed.node


def test_a_missing_secret_is_not_made_anew_under_a_database_that_has_the_old_one(home, folder):
    compose.write(home, folder)
    kept = (folder / "secrets/database_url").read_text()
    (folder / "secrets/database_password").unlink()
    with pytest.raises(HalfASecret, match="lacks database_password"):
        compose.write(home, folder)
    assert (folder / "secrets/database_url").read_text() == kept


def test_the_home_keeps_its_own_settings(home, folder):
    before = (home.root / "party.toml").read_bytes()
    compose.write(home, folder)
    assert (home.root / "party.toml").read_bytes() == before


def test_each_container_has_settings_that_hold_inside_it(home, folder):
    compose.write(home, folder)
    settings = {path.stem: load_settings(path) for path in (folder / "settings").iterdir()}
    assert set(settings) == SERVICES - {"mysql"}
    assert settings["gateway"].gateway.listen == "0.0.0.0:21001"
    assert settings["flow"].flow.listen == "0.0.0.0:21002"
    assert settings["board"].board.listen == "0.0.0.0:21003"
    assert settings["board"].flow.listen == "flow:21002"
    for own in settings.values():
        assert own.run_dir == "/run/archipelago"
        assert own.flow.database == "mysql"
        assert own.flow.database_url_file == "/run/secrets/database_url"
        assert own.gateway.public == home.settings.gateway.public
        assert own.node.cores == os.cpu_count()
        assert own.node.memory_bytes > 0


def test_the_home_is_mounted_and_what_a_service_does_not_need_is_hidden(home, folder, written):
    assert not list(folder.rglob("*.key"))
    hidden = {}
    for name in SERVICES - {"mysql"}:
        volumes = written["services"][name]["volumes"]
        assert {"type": "bind", "source": str(home.root), "target": "/party"} in volumes
        hidden[name] = {mount["target"].removeprefix("/party/") for mount in volumes if mount["type"] == "tmpfs"}
    assert hidden == {
        "gateway": {"tokens", "store"},
        "node-manager": {"tokens"},
        "cluster-manager": {"keys", "tokens", "store"},
        "flow": set(),
        "board": {"tokens", "store"},
    }


def test_a_path_with_dollars_and_quotes_is_written_so_that_compose_reads_it(tmp_path):
    home = create_home(tmp_path / 'a "b" $HOME', "hospital-a")
    text = yaml.safe_load(compose.write(home, tmp_path / "compose").read_text())
    source = text["services"]["gateway"]["volumes"][0]["source"]
    assert source.replace("$$", "$") == str(home.root)
    assert "$$HOME" in source


def test_a_folder_inside_the_home_is_hidden_from_every_service(home):
    written = yaml.safe_load(compose.write(home, home.root / "compose").read_text())
    for name in SERVICES - {"mysql"}:
        hidden = [mount["target"] for mount in written["services"][name]["volumes"] if mount["type"] == "tmpfs"]
        assert "/party/compose" in hidden, name


def test_the_home_itself_is_no_folder_for_it(home):
    before = sorted(home.root.rglob("*"))
    with pytest.raises(BadComposeFolder, match="the home itself"):
        compose.write(home, home.root)
    assert sorted(home.root.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_named(home, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadComposeFolder, match="file"):
        compose.write(home, tmp_path / "file" / "compose")


def test_a_name_cannot_be_published(home, folder):
    flow = home.settings.flow.model_copy(update={"listen": "somewhere.example:21002"})
    named = save_settings(home, home.settings.model_copy(update={"flow": flow}))
    with pytest.raises(NoHostAddress, match=r"flow\.listen"):
        compose.write(named, folder)


def test_localhost_is_published_on_the_loopback_address(home, folder):
    flow = home.settings.flow.model_copy(update={"listen": "localhost:21002"})
    named = save_settings(home, home.settings.model_copy(update={"flow": flow}))
    services = yaml.safe_load(compose.write(named, folder).read_text())["services"]
    assert services["flow"]["ports"] == ["127.0.0.1:21002:21002"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_home_of_root_is_handed_to_the_user_of_the_containers(home, folder):
    compose.write(home, folder)
    for path in (home.root, home.root / "keys/master.key", folder / "secrets/database_url", folder / "mysql"):
        assert path.stat().st_uid == compose.SERVICE_UID
    assert PartyHome(home.root).card.party == "hospital-a"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_containers_run_as_the_owner_of_the_home(home, folder):
    os.chown(home.root, 1234, 1234)
    assert yaml.safe_load(compose.write(home, folder).read_text())["services"]["flow"]["user"] == "1234:1234"


def test_the_image_is_not_root_and_has_no_secret():
    lines = Path(compose.__file__).with_name("Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert not any(line.startswith("# syntax") for line in lines)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST"):
        assert f"ARG {name}" in lines


def test_the_command_writes_the_file_again_and_says_where(home, folder, capsys):
    assert main(["--home", str(home.root), "--folder", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'compose.yaml'}\n"


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    assert main(["--home", str(tmp_path)]) == 3
    assert "No party lives in" in capsys.readouterr().err


def test_the_layer_of_dependencies_has_what_pyproject_declares():
    pyproject = Path(compose.__file__).parent.parent / "pyproject.toml"
    plain, torch = requirements(pyproject, []), requirements(pyproject, ["torch"])
    assert "numpy" in plain
    assert [line for line in torch if line not in plain] == tomllib.loads(pyproject.read_text())["project"][
        "optional-dependencies"
    ]["torch"]
    with pytest.raises(KeyError):
        requirements(pyproject, ["none-such"])


class SampleLoader(yaml.SafeLoader):
    """Reads compose's own tag, which takes a value out of the file below."""


SampleLoader.add_constructor("!reset", lambda loader, node: None)


@pytest.fixture
def sample():
    folder = Path(compose.__file__).parent / "samples"
    return lambda name: yaml.load((folder / name).read_text(), SampleLoader)


def test_the_sample_override_adds_only_the_shared_network(sample):
    override = sample("compose.override.yaml")
    assert set(override["services"]) == {"gateway"}
    assert set(override["services"]["gateway"]) == {"networks"}
    assert override["networks"]["federation"]["external"] is True


def test_the_sample_for_older_engines_takes_the_start_interval_from_every_service(sample, written):
    older = sample("older-engine.yaml")["services"]
    assert set(older) == set(written["services"])
    for name, service in older.items():
        assert service == {"healthcheck": {"interval": "5s", "start_interval": None}}, name
        assert written["services"][name]["healthcheck"]["start_interval"], name
