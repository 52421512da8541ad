"""The parameters of protection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from algorithms.api.parameters import Group


class ProtectionSettings(Group):
    """What the arbiter may see of the trainers' vectors."""

    kind: Literal["plain", "paillier"] = Field("plain", description="What the arbiter may see: the updates, or not.")
    key_bits: Literal[2048, 3072, 4096] = Field(2048, description="Length of the Paillier modulus.")
    keygen: Literal["standard", "subgroup"] = Field(
        "standard", description="subgroup: faster, under a stronger assumption (docs/security.md)."
    )
    key_holders: tuple[str, ...] | None = Field(
        None, description="Trainers (party ids) that receive the private key and decrypt; left out: all."
    )

    def idle(self) -> Mapping[str, str]:
        """In the clear there is no key."""
        options = ("key_bits", "keygen", "key_holders") if self.kind == "plain" else ()
        return dict.fromkeys(options, '`"kind": "plain"`')
