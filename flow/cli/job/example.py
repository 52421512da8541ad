"""A small example to try: two banks' loans as CSV files and a job on them, made up and the same each time."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from math import exp
from pathlib import Path

from flow.whole_file import make_folder, refuse_existing, whole_file

SEED = 20
COLUMNS = ("customer", "defaulted", "income", "age", "debt", "years_employed")
FILES = {"loans_a.csv": 400, "loans_b.csv": 300, "loans_test.csv": 150}  # rows of each
JOB = {
    "schema": 1,
    "name": "loans",
    "initiator": "bank-a",
    "roles": {"guest": ["bank-a"], "host": ["bank-b"], "arbiter": ["referee"]},
    "tasks": {
        "scale": {
            "component": "scale@1",
            "inputs": {"data": {"guest": "loans/train", "host": "loans/train"}},
            "parameters": {"protection": {"kind": "paillier"}},
        },
        "train": {
            "component": "homo_lr@1",
            "inputs": {"train": "scale.data"},
            "parameters": {
                "rounds": 10,
                "local": {"learning_rate": 0.15, "batch_size": 64},
                "protection": {"kind": "paillier"},
            },
        },
        "scale_test": {
            "component": "scale@1",
            "roles": ["guest"],
            "inputs": {"data": "loans/test", "model": "scale.model"},
            "parameters": {"fit": False},
        },
        "evaluate": {
            "component": "evaluate@1",
            "roles": ["guest"],
            "inputs": {"model": "train.model", "data": "scale_test.data"},
        },
        "predict": {
            "component": "predict@1",
            "roles": ["guest"],
            "inputs": {"model": "train.model", "data": "scale_test.data"},
        },
    },
}


def write_example(folder: Path) -> list[Path]:
    """Write the files into a folder; the paths of all. Raises FileThere before anything is written, FileUnwritable."""
    names = [*FILES, "job.json"]
    for name in names:
        refuse_existing(folder / name)
    chance = random.Random(SEED)  # noqa: S311 - made-up customers, no secret
    make_folder(folder)
    for name, rows in FILES.items():
        with whole_file(folder / name) as beside, beside.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(_loans(chance, name[6], rows))
    with whole_file(folder / "job.json") as beside:
        beside.write_text(json.dumps(JOB, indent=2) + "\n")
    return [folder / name for name in names]


def _loans(chance: random.Random, letter: str, rows: int) -> Iterator[tuple[object, ...]]:
    for number in range(rows):
        income, age = round(chance.lognormvariate(10.4, 0.4)), chance.randint(21, 70)
        debt, years = round(income * chance.uniform(0, 1.2)), chance.randint(0, age - 20)
        risk = 3.5 * debt / income - income / 40_000 - 0.06 * years - 0.9
        yield (
            f"{letter.upper()}{number:05}",
            int(chance.random() < 1 / (1 + exp(-2 * risk))),
            income,
            age,
            debt,
            years,
        )
