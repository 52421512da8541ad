"""What a service counts of itself, in the form that Prometheus reads.

A metric is defined where it is counted, and nothing else has to know of it:

    _PAGES = metrics("board").counter("pages", "Pages that were shown.")

Each room has a registry of its own, because one process may host several. A label takes few values, all of our own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
disable_created_metrics()  # type: ignore[no-untyped-call]  # when each counter began: as many lines again, which nobody asks


class Metrics:
    """The metrics of one room; their names begin with `archipelago_ROOM_`."""

    def __init__(self, room: str) -> None:
        self._prefix = f"archipelago_{room}"
        self._registry = CollectorRegistry()
        ProcessCollector(namespace=self._prefix, registry=self._registry)

    def counter(self, name: str, says: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; its name is given the ending `_total`."""
        return Counter(name, says, labels, namespace=self._prefix, registry=self._registry)

    def gauge(self, name: str, says: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return Gauge(name, says, labels, namespace=self._prefix, registry=self._registry)

    def histogram(self, name: str, says: str, labels: Sequence[str] = ()) -> Histogram:
        """How long things take, in seconds; its name ends with `_seconds`."""
        return Histogram(name, says, labels, namespace=self._prefix, registry=self._registry)

    def text(self) -> bytes:
        """All of them now."""
        return generate_latest(self._registry)


@cache
def metrics(room: str) -> Metrics:
    """The metrics of a room."""
    return Metrics(room)


def labelled(texts: Mapping[str, bytes], label: str) -> bytes:
    """The metrics of several processes of one kind as one text, each sample with the label that names its process."""
    families: dict[str, Metric] = {}
    for name, text in texts.items():
        for family in text_string_to_metric_families(text.decode()):
            kept = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                kept.add_sample(sample.name, {**sample.labels, label: name}, sample.value)
    return generate_latest(_Found(families.values()))


class _Found:
    """Metrics that were read elsewhere."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """What was read."""
        return self._families
