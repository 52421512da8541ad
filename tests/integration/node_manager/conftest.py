"""One Node Manager for the tests of a module; each test has its own job."""

from __future__ import annotations

import itertools

import pytest

from node_manager.server import NodeService
from tests.fakes.nodes import Reader, make_config, make_order

_jobs = itertools.count(1)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    service = NodeService(make_config(tmp_path_factory.mktemp("node")))
    service.start()
    yield service
    service.stop(5)


@pytest.fixture(scope="module")
def folder(node):
    return node._config.state / "executors"


@pytest.fixture(scope="module")
def reader(node):
    reader = Reader(node._config.socket)
    yield reader
    reader.close()


@pytest.fixture
def client(reader):
    return reader.client


@pytest.fixture
def order_of():
    job = f"01J{next(_jobs):023}"
    return lambda do="nothing", **changes: make_order(do, **{"job": job, **changes})
