"""The compose test is slow and starts containers, so it runs only where it is asked for."""

import pytest


def pytest_collection_modifyitems(config, items):
    if "compose" in config.getoption("-m"):
        return
    for item in items:
        if item.get_closest_marker("compose"):
            item.add_marker(pytest.mark.skip(reason="starts containers, some minutes; run `make compose-test`"))
