"""What a service counts, in the form that Prometheus reads."""

from __future__ import annotations

import re

from runtime.metrics import labelled, metrics


def test_a_metric_is_defined_where_it_is_counted_and_told_with_its_room() -> None:
    cups = metrics("test_kitchen").counter("cups", "Cups that were filled.", ["of"])
    cups.labels("tea").inc(2)
    text = metrics("test_kitchen").text().decode()
    assert 'archipelago_test_kitchen_cups_total{of="tea"} 2.0' in text
    assert "archipelago_test_kitchen_process_open_fds" in text
    assert "_created" not in text
    assert "cups" not in metrics("test_cellar").text().decode()


def test_several_processes_of_a_kind_are_told_apart_by_a_label() -> None:
    one, two = (
        f'# HELP cups_total Cups.\n# TYPE cups_total counter\ncups_total{{of="tea"}} {n}.0\n'.encode() for n in (1, 2)
    )
    text = labelled({"n1": one, "n2": two}, "node").decode()
    assert re.findall(r"^cups_total\{.*node=\"(n\d)\".*\} (\d)", text, re.MULTILINE) == [("n1", "1"), ("n2", "2")]
    assert text.count("# TYPE") == 1
