"""What a party agrees to: its `[policy]` settings, and the use policies of its tables and models. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from algorithms.api.component import Component
from algorithms.api.conversation import Protection
from party.settings import DEFAULT_PROTECTION, PolicySettings
from storage.client import NO_ROLES, OF_HOLDERS, TableRoles, UsePolicy

NO_USER = "?"  # the owner of what is somebody's, but nobody knows whose: no user has this name


OF_ALL = UsePolicy()  # a table's policy unless one was set


@dataclass(frozen=True)
class Stance:
    """Who decides, by which policy and among whom, as they are whenever it is asked.

    Attributes:
        party: Our id.
        policy: What we agree to.
        parties: We and the parties that we trust.
    """

    party: str
    policy: Callable[[], PolicySettings]
    parties: Callable[[], Iterable[str]]

    def strangers(self, parties: Iterable[str]) -> tuple[str, ...]:
        """Those of the parties that are not trusted here."""
        trusted = {self.party, *self.parties()}
        return tuple(party for party in parties if party not in trusted)

    def still_shared(self, agreed: Iterable[str]) -> frozenset[str]:
        """What the initiator of a job may see: what we agreed to share, as far as our policy shares it now."""
        return frozenset(agreed) & frozenset(self.policy().share)


@dataclass(frozen=True)
class Source:
    """A table or a model of this party, and the rules that follow whatever is made of it.

    Attributes:
        reference: `namespace/name@version`, or `job/task.output`.
        use: Who may use it.
        owner: The user of the party whom it belongs to; empty: nobody.
    """

    reference: str
    use: UsePolicy = OF_ALL
    owner: str = ""


@dataclass(frozen=True)
class TableFacts:
    """What a party knows of one of its tables.

    Attributes:
        reference: The exact version.
        rows: How many it has.
        use: Who may use it.
        owner: The user of the party whom it belongs to; empty: nobody.
        made_of: What it was made of, by however many steps.
        roles: Which of its columns play one.
    """

    reference: str
    rows: int
    use: UsePolicy = OF_ALL
    owner: str = ""
    made_of: tuple[Source, ...] = ()
    roles: TableRoles = NO_ROLES

    @property
    def source(self) -> Source:
        """It, for what is made of it."""
        return Source(self.reference, self.use, self.owner)

    @property
    def least_rows(self) -> int:
        """The rows that its own policy asks for, and those of what it was made of."""
        return max(self.use.min_rows, *(source.use.min_rows for source in self.made_of), 0)


@dataclass(frozen=True)
class ModelFacts:
    """What a party knows of one of its models.

    Attributes:
        reference: `job/task.output`.
        kind: The kind of model; empty: not known.
        holders: The parties that hold a part of it too, by our own record of the job that made it.
        use: Who may use it; its `peers` are granted it beside the holders.
        owner: The user of the party whom it belongs to; empty: nobody.
        made_of: What it was made of, by however many steps.
    """

    reference: str
    holders: frozenset[str] = frozenset()
    use: UsePolicy = OF_HOLDERS
    owner: str = ""
    made_of: tuple[Source, ...] = ()
    kind: str = ""

    @property
    def source(self) -> Source:
        """It, for what is made of it."""
        return Source(self.reference, inherited(self.use), self.owner)


def protection_of(policy: PolicySettings, component: Component) -> Protection:
    """The least that a policy asks for where numbers computed from rows leave in a component."""
    asked = policy.min_protection
    if isinstance(asked, str):
        return Protection(asked)
    names = (component.reference, component.name, "*")
    return Protection(next((asked[name] for name in names if name in asked), DEFAULT_PROTECTION))


def inherited(use: UsePolicy) -> UsePolicy:
    """What of a model's use policy holds for what is made of it: who may get to know it is about the model alone."""
    return use.model_copy(update={"peers": ("*",), "min_rows": 0})


def withheld(user: str, sources: Iterable[Source]) -> Source | None:
    """The first that a user's jobs may not read: it is another user's, who has not let this one's jobs read it."""
    return next((s for s in sources if s.owner not in ("", user) and not allowed(user, s.use.users)), None)


def allowed(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (`*` stands for anything) fits the name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def component_allowed(component: Component, patterns: Iterable[str]) -> bool:
    """Whether a component may be used, by its name or by its name and version."""
    wanted = tuple(patterns)
    return allowed(component.reference, wanted) or allowed(component.name, wanted)
