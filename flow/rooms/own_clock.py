"""Our wall clock, and what the rest of the federation says of it."""

from __future__ import annotations

from flow.rooms.clock_evidence import ClockEvidence, Wait, doubt, evidence
from flow.rooms.ports import GatewayPort
from runtime.clock import Clock, now_ms
from runtime.errors import PlatformError


class OwnClock:
    """Asks the links whether our wall clock may be believed about the time before this start."""

    def __init__(self, clock: Clock, gateway: GatewayPort) -> None:
        self._clock = clock
        self._gateway = gateway
        self._began_s = clock.monotonic()

    def evidence(self) -> ClockEvidence:
        """What speaks for it and against it now."""
        now = now_ms(self._clock)
        try:
            return evidence(now, self._gateway.health().problem, self._gateway.peers())
        except PlatformError as error:
            return ClockEvidence(now, str(error))

    def doubt(self) -> Wait | None:
        """Why nothing is to be done for good yet because of what it says; None if it may be."""
        return doubt(self.evidence(), self._clock.monotonic() - self._began_s)
