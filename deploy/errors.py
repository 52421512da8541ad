"""What can go wrong when a party's compose file is written.

InvalidInput
  BadComposeFolder   the folder for the compose file cannot be used
  NoHostAddress      `listen` names no address of this host on which a port can be published
Conflict
  HalfASecret        some of the database's secrets are there and others are not
"""

from __future__ import annotations

from runtime.errors import Conflict, InvalidInput


class BadComposeFolder(InvalidInput):
    """The folder for the compose file cannot be used."""

    code = "deploy.bad_compose_folder"


class HalfASecret(Conflict):
    """Some of the database's secrets are there and others are not; making new ones would lock the database."""

    code = "deploy.half_a_secret"


class NoHostAddress(InvalidInput):
    """A `listen` setting names no address of this host on which a port can be published."""

    code = "deploy.no_host_address"
