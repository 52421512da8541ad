"""README's commands, run as they stand there by a user who is not root, in a folder that was empty."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534


def commands(name: str) -> str:
    """The shell block of README that stands under `<!-- run: NAME -->`."""
    block = re.search(rf"<!-- run: {name} -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    return block[1]


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A clone in a fresh folder that belongs to an ordinary user."""
    folder = Path(tempfile.mkdtemp(prefix="apl-readme-"))
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def open_path() -> str:
    """The folders of PATH that every user may enter; root's own are left out."""

    def is_open(folder: Path) -> bool:
        return folder.is_dir() and all(f.stat().st_mode & stat.S_IXOTH for f in (folder, *folder.parents))

    return os.pathsep.join(f for f in os.environ["PATH"].split(os.pathsep) if is_open(Path(f)))


def run_as_user(script: str, folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a shell script in the folder, without root's rights, home or Python path."""
    keep = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "REQUESTS_", "LANG"))}
    environment = keep | {"HOME": str(folder), "PATH": open_path(), "TMPDIR": tempfile.gettempdir()}
    environment["PIP_COMPILE"] = "0"  # what is imported is compiled then; all else would cost a minute
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        **who,
    )


@pytest.mark.timeout(600)
def test_the_demo_of_the_readme_ends_well(checkout: Path) -> None:
    script = commands("demo").replace("make demo", "make demo ARGS=--exit")
    done = run_as_user(script, checkout, 580)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Quality" in done.stdout


@pytest.mark.timeout(300)
def test_a_job_on_ones_own_csv_files_runs_as_the_readme_says(checkout: Path) -> None:
    folder = checkout / "empty"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    done = run_as_user(f'PATH="{checkout}/.venv/bin:$PATH"\n{commands("own-job")}', folder, 280)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "succeeded" in done.stdout
    assert json.loads((folder / "loans.json").read_text())["details"]["features"][0] == "income"
    assert {"train.model.safetensors", "predict.predictions.csv"} <= {f.name for f in (folder / "results").iterdir()}
