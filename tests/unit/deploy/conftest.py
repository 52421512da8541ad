import pytest
import yaml

from deploy import compose
from party.home_init import Ports, create_home

PORTS = Ports(21_001, 21_002, 21_003)


@pytest.fixture
def home(tmp_path):
    return create_home(tmp_path / "home", "hospital-a", ports=PORTS, public=["hospital-a.example:21001"])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "compose"


@pytest.fixture
def written(home, folder):
    """The compose file of a party, parsed."""
    return yaml.safe_load(compose.write(home, folder).read_text())
