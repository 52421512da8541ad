"""A channel between services of one party, that may be closed while others still call.

It does what gRPC's interceptors would (show the key of the inner doors with every call) in another way: an interceptor
begins each call with a new handle, and a handle that is asked of a closed channel ends the process. Here a handle is
made once, with the stub, and whoever calls after the end is told so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from runtime.errors import ChannelClosed

Metadata = tuple[tuple[str, str], ...]


class InnerChannel(grpc.Channel):
    """See the module. Making a stub, and every call, raise ChannelClosed once it is closed.

    Args:
        channel: What carries the calls.
        metadata: What is shown with each of them.
    """

    def __init__(self, channel: grpc.Channel, metadata: Callable[[], Metadata]) -> None:
        self._channel = channel
        self._metadata = metadata
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> InnerChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and every call that is at work. Again is no change."""
        with self._lock:
            self._closed = True
            self._channel.close()

    def subscribe(self, callback: Callable[[Any], None], try_to_connect: bool = False) -> None:
        """As gRPC's."""
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[Any], None]) -> None:
        """As gRPC's."""
        self._channel.unsubscribe(callback)

    def unary_unary(self, *args: Any, **options: Any) -> InnerCall:
        """A method with one message either way."""
        return self._made(self._channel.unary_unary, *args, **options)

    def unary_stream(self, *args: Any, **options: Any) -> InnerCall:
        """A method with a stream of answers."""
        return self._made(self._channel.unary_stream, *args, **options)

    def stream_unary(self, *args: Any, **options: Any) -> InnerCall:
        """A method with a stream of requests."""
        return self._made(self._channel.stream_unary, *args, **options)

    def stream_stream(self, *args: Any, **options: Any) -> InnerCall:
        """A method with streams both ways."""
        return self._made(self._channel.stream_stream, *args, **options)

    def _made(self, make: Callable[..., Any], *args: Any, **options: Any) -> InnerCall:
        with self._lock:
            if self._closed:
                raise _closed()
            return InnerCall(self, make(*args, **options))

    def shown(self, more: Metadata | None) -> Metadata:
        """What a call shows that shows `more` besides."""
        return (*(more or ()), *self._metadata())

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Name the error of a call that is begun too late."""
        try:
            yield
        except ValueError:
            if not self._closed:
                raise
            raise _closed() from None


class InnerCall:
    """One method; called as gRPC's own."""

    def __init__(self, channel: InnerChannel, method: Any) -> None:
        self._channel = channel
        self._method = method

    def __call__(self, request: Any, *, metadata: Metadata | None = None, **options: Any) -> Any:
        """Call it."""
        with self._channel.calling():
            return self._method(request, metadata=self._channel.shown(metadata), **options)

    def future(self, request: Any, *, metadata: Metadata | None = None, **options: Any) -> Any:
        """Call it, and wait later."""
        with self._channel.calling():
            return self._method.future(request, metadata=self._channel.shown(metadata), **options)


def _closed() -> ChannelClosed:
    return ChannelClosed("The connection was closed while somebody still called.", hint="Call again over a new one.")
