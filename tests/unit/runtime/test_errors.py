from __future__ import annotations

from runtime.errors import NotFound, PlatformError, Unavailable, all_codes


def test_an_error_prints_what_happened_and_what_to_do() -> None:
    assert str(NotFound("No table 'a'.", hint="Did you mean 'b'?")) == "No table 'a'. Did you mean 'b'?"
    assert str(NotFound("No table 'a'.")) == "No table 'a'."
    assert Unavailable.retry
    assert not NotFound.retry
    assert all_codes()["platform.error"] is PlatformError
