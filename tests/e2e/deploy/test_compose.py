"""Three parties from their own compose files on one host train a model together over container networks."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher.demo_data import write_breast
from tests.e2e.deploy.engine import Engine, NoEngine
from tests.e2e.deploy.parties import CHECKOUT, Federation, Images

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

HOSPITALS = ("hospital-a", "hospital-b")
PARTIES = (*HOSPITALS, "coordinator")
SERVICES = {"gateway", "flow", "cluster-manager", "node-manager", "board", "mysql"}
JOB = CHECKOUT / "examples/homo_lr/job.json"
JOB_S = 300
AUC_MARGIN = 0.01
COUNT_ROWS = """
import json, sqlalchemy
from sqlalchemy import func, select, table
from party.home import PartyHome
engine = sqlalchemy.create_engine(PartyHome("/party").database_url())
assert engine.dialect.name == "mysql"
with engine.connect() as database:
    names = sqlalchemy.inspect(engine).get_table_names()
    counts = {name: database.execute(select(func.count()).select_from(table(name))).scalar() for name in names}
print(json.dumps(counts))
"""


@contextmanager
def explained(federation):
    """A failure inside says what the containers logged."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{federation.said()}") from error


@pytest.fixture(scope="module")
def engine():
    engine = Engine(Engine.default_folder())
    try:
        engine.start()
    except NoEngine as reason:
        pytest.skip(str(reason))
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def images(engine):
    images = Images(engine)
    images.build()
    yield images
    images.remove()


@pytest.fixture(scope="module")
def federation(engine, images, tmp_path_factory):
    federation = Federation(PARTIES, tmp_path_factory.mktemp("federation"), engine, images)
    try:
        with explained(federation):
            federation.up()
            federation.exchange_cards()
        yield federation
    finally:
        federation.down()


def test_three_parties_train_a_model_over_container_networks(federation, tmp_path):
    guest = federation.parties[HOSPITALS[0]]
    uploads, pooled_auc = write_breast(tmp_path, HOSPITALS)
    for upload in uploads:
        party = federation.parties[upload.party]
        party.flow("data", "upload", party.receive(upload.file), "--table", upload.table, "--id", "id", "--label", "y")

    with explained(federation):
        job = guest.flow_json("job", "submit", guest.receive(JOB))["job"]
        guest.flow("job", "watch", job, timeout_s=JOB_S)
        states = federation.each(lambda party: party.flow_json("job", "show", job)["state"])
        assert states == dict.fromkeys(PARTIES, "succeeded")
    metrics = guest.flow_json("job", "metrics", job, "--task", "evaluate")
    auc = next(row["value"] for row in metrics if row["name"] == "auc")
    assert auc >= pooled_auc - AUC_MARGIN
    rows = json.loads(guest.compose("exec", "-T", "flow", "python", "-c", COUNT_ROWS))
    assert min(rows[table] for table in ("job", "attempt", "metric", "event")) > 0, rows


def test_every_container_is_healthy_and_has_no_privileges(federation):
    for party in federation.parties.values():
        found = party.containers()
        assert set(found) == SERVICES
        for name, container in found.items():
            assert container["State"]["Health"]["Status"] == "healthy", f"{party.name} {name}"
            assert container["RestartCount"] == 0, f"{party.name} {name}"
            assert container["Config"]["User"].split(":")[0] not in {"", "0", "root"}
            assert container["HostConfig"]["ReadonlyRootfs"] is True
            assert container["HostConfig"]["CapDrop"] == ["ALL"]
            assert container["HostConfig"]["Memory"] > 0
            assert container["HostConfig"]["PidsLimit"] > 0


def test_no_password_is_in_what_the_engine_or_the_logs_show(federation):
    for party in federation.parties.values():
        shown = json.dumps(party.containers()) + party.compose("logs", "--no-color") + party.compose("config")
        for secret in (Path(party.folder) / "secrets").iterdir():
            assert secret.read_text() not in shown, f"{party.name} {secret.name}"


def test_what_a_service_does_not_need_is_out_of_its_reach(federation):
    party = federation.parties[HOSPITALS[0]]
    look = "import json, pathlib as p; print(json.dumps([str(f) for f in p.Path('/party').glob('*/*')]))"
    seen = {
        service: {path.removeprefix("/party/").split("/")[0] for path in json.loads(said)}
        for service in ("gateway", "node-manager", "cluster-manager", "board", "flow")
        if (said := party.compose("exec", "-T", service, "python", "-c", look))
    }
    assert {"keys", "tokens", "store"} <= seen["flow"]
    assert not {"tokens", "compose"} & seen["gateway"]
    assert not {"tokens", "compose"} & seen["node-manager"]
    assert not {"keys", "tokens", "store", "compose"} & seen["cluster-manager"]
    assert not {"tokens", "store", "compose"} & seen["board"]
    assert "compose" not in seen["flow"]


def test_executors_have_no_network(federation):
    party = federation.parties[HOSPITALS[0]]
    interfaces = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
    assert "eth0" not in party.compose("exec", "-T", "node-manager", "python", "-c", interfaces)
