"""The door to a party's home: make one, find one, open one, and say whom it trusts."""

from __future__ import annotations

from party.errors import AlreadyRunning
from party.founding import FIRST_USER, Ports, create_home, renew_card, save_settings
from party.home_folder import DEFAULT_HOME, HOME_VARIABLE, PartyHome, find_home
from party.trust import trust, untrust

__all__ = [
    "DEFAULT_HOME",
    "FIRST_USER",
    "HOME_VARIABLE",
    "AlreadyRunning",
    "PartyHome",
    "Ports",
    "create_home",
    "find_home",
    "renew_card",
    "save_settings",
    "trust",
    "untrust",
]
