"""Three parties, each from its own compose file, on one engine; everything a person would do goes through commands."""

import json
import os
import secrets
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import deploy
from deploy import compose
from party.home_init import Ports, create_home, save_settings

CHECKOUT = Path(deploy.__file__).resolve().parent.parent
SAMPLES = CHECKOUT / "deploy/samples"
DATABASE = Path(__file__).parent / "mariadb"
PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
NETWORK_ADDRESSES = "198.18.64.0/24"
BUILD_S = 900
UP_S = 300
FIRST_WITH_START_INTERVAL = 25


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class Images:
    """The two images of the test, built from the checkout under tags of their own."""

    def __init__(self, engine):
        mark = secrets.token_hex(4)
        self._engine = engine
        self.services = f"archipelago-fl:test-{mark}"
        self.database = os.environ.get("ARCHIPELAGO_DATABASE_IMAGE") or f"archipelago-database:test-{mark}"

    def build(self):
        build = ("build", "--quiet", "--network", "host")
        dockerfile = ("--file", str(CHECKOUT / "deploy/Dockerfile"))
        with pip_arguments() as arguments:
            self._engine.docker(
                *build, *dockerfile, *arguments, "--tag", self.services, str(CHECKOUT), timeout_s=BUILD_S
            )
        if "ARCHIPELAGO_DATABASE_IMAGE" not in os.environ:
            self._engine.docker(*build, "--tag", self.database, str(DATABASE), timeout_s=BUILD_S)

    def remove(self):
        for image in {self.services, self.database} - {os.environ.get("ARCHIPELAGO_DATABASE_IMAGE")}:
            self._engine.docker("image", "rm", image, check=False)


@contextmanager
def pip_arguments():
    """Build arguments that give pip inside the build what it has outside; a folder of wheels is served on loopback."""
    given = {name: os.environ[name] for name in PIP_VARIABLES if os.environ.get(name)}
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    with ExitStack() as undo:
        if Path(wheels or os.devnull).is_dir():
            server = undo.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=wheels)))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            undo.callback(thread.join)
            undo.callback(server.shutdown)
            given["PIP_FIND_LINKS"] = f"http://127.0.0.1:{server.server_address[1]}/"
            given["PIP_TRUSTED_HOST"] = "127.0.0.1"
        elif wheels:
            given["PIP_FIND_LINKS"] = wheels
        yield [part for name, value in given.items() for part in ("--build-arg", f"{name}={value}")]


class ComposedParty:
    """One party: a home, a compose folder, and `docker compose` in that folder."""

    def __init__(self, name, folder, engine, variables, ports):
        self.name = name
        self.ports = ports
        self.home = folder / name
        self.folder = self.home / "compose"
        self._engine = engine
        self._variables = {**variables, "ARCHIPELAGO_PARTY": name}
        self._variables["COMPOSE_PROJECT_NAME"] = f"{variables['ARCHIPELAGO_FEDERATION']}-{name}"

    @property
    def project(self):
        return self._variables["COMPOSE_PROJECT_NAME"]

    def create(self):
        """What `flow party init --compose` does, with ports of our choice, and samples beside it."""
        home = create_home(self.home, self.name, public=[f"{self.name}:{self.ports.gateway}"], ports=self.ports)
        policy = home.settings.policy.model_copy(update={"accept": "agree"})
        home = save_settings(home, home.settings.model_copy(update={"policy": policy}))
        compose.write(home, self.folder)
        for sample in self._variables["COMPOSE_FILE"].split(":")[1:]:
            shutil.copy(SAMPLES / sample, self.folder)

    def receive(self, file):
        """Put a file where Flow's container reads it; the path it has there."""
        place = self.folder / "incoming" / file.name
        shutil.copy(file, place)
        place.chmod(0o644)
        return f"/incoming/{file.name}"

    def compose(self, *args, **options):
        return self._engine.docker("compose", *args, cwd=self.folder, variables=self._variables, **options)

    def flow(self, *args, timeout_s=120):
        """The command line, in the party's own container."""
        return self.compose("exec", "-T", "flow", "flow", *args, timeout_s=timeout_s)

    def flow_json(self, *args, timeout_s=120):
        return json.loads(self.flow(*args, "--json", timeout_s=timeout_s))

    def containers(self):
        """What the engine knows of each container of the party, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self._engine.docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def said(self):
        """What the containers logged last, for the report of a failure."""
        return self.compose("logs", "--no-color", "--tail", "40", check=False)


class Federation:
    """Parties that share a network of this host and trust each other's cards."""

    def __init__(self, names, folder, engine, images):
        self.network = f"archipelago-{secrets.token_hex(4)}"
        self._engine = engine
        self._folder = folder
        variables = {
            "ARCHIPELAGO_IMAGE": images.services,
            "ARCHIPELAGO_DATABASE_IMAGE": images.database,
            "ARCHIPELAGO_FEDERATION": self.network,
            "COMPOSE_FILE": ":".join(("compose.yaml", "compose.override.yaml", *_for_older(engine))),
        }
        taken = []
        self.parties = {}
        for name in names:
            ports = Ports.pick(avoid=taken)
            taken += ports.all()
            self.parties[name] = ComposedParty(name, folder, engine, variables, ports)

    def up(self):
        """Make every party, start its containers, and wait until all of them are healthy."""
        self._engine.docker("network", "create", "--subnet", NETWORK_ADDRESSES, self.network)
        for party in self.parties.values():
            party.create()
        wait = ("--wait", "--wait-timeout", str(UP_S))
        self.each(lambda party: party.compose("up", "--detach", *wait, timeout_s=UP_S + 30))

    def exchange_cards(self):
        """Every party writes its card; the files are carried to the others, who trust them."""
        for party in self.parties.values():
            card = self._folder / f"{party.name}.card.json"
            card.write_text(party.flow("party", "card"))
        for party in self.parties.values():
            others = [other for other in self.parties if other != party.name]
            party.flow("party", "trust", *(party.receive(self._folder / f"{other}.card.json") for other in others))

    def down(self):
        """Take everything down; remove what compose made, and the homes with their databases."""
        self.each(lambda party: party.compose("down", "--volumes", "--timeout", "20", check=False, timeout_s=180))
        self._engine.docker("network", "rm", self.network, check=False)
        shutil.rmtree(self._folder)

    def each(self, work):
        with ThreadPoolExecutor(len(self.parties)) as pool:
            return dict(zip(self.parties, pool.map(work, self.parties.values()), strict=True))

    def said(self):
        return "\n".join(party.said() for party in self.parties.values() if party.folder.exists())


def _for_older(engine):
    """The sample that takes out what engines before 25 do not know."""
    major = int(engine.docker("version", "--format", "{{.Server.Version}}").split(".")[0])
    return ("older-engine.yaml",) if major < FIRST_WITH_START_INTERVAL else ()
