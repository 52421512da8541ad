"""The table of protections: a later one is a file and a row.

Conversation: that of `algorithms.protection.plain` or `algorithms.protection.paillier`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from algorithms.protection.paillier import Paillier
from algorithms.protection.plain import Plain
from algorithms.protection.scheme import Scheme
from algorithms.protection.settings import ProtectionSettings

SCHEMES: Mapping[str, Callable[[ProtectionSettings], Scheme]] = {"plain": Plain, "paillier": Paillier}
