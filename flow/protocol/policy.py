"""What a party agrees to: its `[policy]` settings, and the use policies of its tables and models. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from algorithms.api.component import Component
from algorithms.api.conversation import Protection
from party.settings import DEFAULT_PROTECTION, PolicySettings
from storage.client import NO_ROLES, TableRoles

NO_USER = "?"  # the owner of what is somebody's, but nobody knows whose: no user has this name


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
        components, peers, min_rows, expires: Of its use policy. Who may get to know a model is about that model alone,
            so `peers` of a model hold nothing back here.
        owner: The user of the party whom it belongs to; empty: nobody.
        users: Those whose jobs may read it beside the owner's.
    """

    reference: str
    components: tuple[str, ...] = ("*",)
    peers: tuple[str, ...] = ("*",)
    min_rows: int = 0
    expires: datetime | None = None
    owner: str = ""
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableFacts:
    """What a party knows of one of its tables.

    Attributes:
        reference: The exact version.
        rows: How many it has.
        components, peers, min_rows, expires: Its use policy.
        owner: The user of the party whom it belongs to; empty: nobody.
        users: Those whose jobs may read it beside the owner's.
        made_of: What it was made of, by however many steps.
        roles: Which of its columns play one.
    """

    reference: str
    rows: int
    components: tuple[str, ...] = ("*",)
    peers: tuple[str, ...] = ("*",)
    min_rows: int = 0
    expires: datetime | None = None
    owner: str = ""
    users: tuple[str, ...] = ()
    made_of: tuple[Source, ...] = ()
    roles: TableRoles = NO_ROLES

    @property
    def source(self) -> Source:
        """It, for what is made of it."""
        return Source(self.reference, self.components, self.peers, self.min_rows, self.expires, self.owner, self.users)

    @property
    def least_rows(self) -> int:
        """The rows that its own policy asks for, and those of what it was made of."""
        return max(self.min_rows, *(source.min_rows for source in self.made_of), 0)


@dataclass(frozen=True)
class ModelFacts:
    """What a party knows of one of its models.

    Attributes:
        reference: `job/task.output`.
        kind: The kind of model; empty: not known.
        holders: The parties that hold a part of it too, by our own record of the job that made it.
        components, peers, expires: Its use policy; `peers` are granted it beside the holders.
        owner: The user of the party whom it belongs to; empty: nobody.
        users: Those whose jobs may read it beside the owner's.
        made_of: What it was made of, by however many steps.
    """

    reference: str
    holders: frozenset[str] = frozenset()
    components: tuple[str, ...] = ("*",)
    peers: tuple[str, ...] = ()
    expires: datetime | None = None
    owner: str = ""
    users: tuple[str, ...] = ()
    made_of: tuple[Source, ...] = ()
    kind: str = ""

    @property
    def source(self) -> Source:
        """It, for what is made of it."""
        return Source(self.reference, self.components, expires=self.expires, owner=self.owner, users=self.users)


def protection_of(policy: PolicySettings, component: Component) -> Protection:
    """The least that a policy asks for where numbers computed from rows leave in a component."""
    asked = policy.min_protection
    if isinstance(asked, str):
        return Protection(asked)
    names = (component.reference, component.name, "*")
    return Protection(next((asked[name] for name in names if name in asked), DEFAULT_PROTECTION))


def withheld(user: str, sources: Iterable[Source]) -> Source | None:
    """The first that a user's jobs may not read: it is another user's, who has not let this one's jobs read it."""
    return next((s for s in sources if s.owner not in ("", user) and not allowed(user, s.users)), None)


def allowed(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (`*` stands for anything) fits the name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def component_allowed(component: Component, patterns: Iterable[str]) -> bool:
    """Whether a component may be used, by its name or by its name and version."""
    wanted = tuple(patterns)
    return allowed(component.reference, wanted) or allowed(component.name, wanted)
