"""Open connections per origin: taken, given back, limited, and closed when idle for long."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import NamedTuple, cast

from gateway.upstream.connect import connect
from gateway.upstream.http1 import Connection
from gateway.upstream.proxies import Proxies, Proxy
from gateway.upstream.target import Origin
from gateway.upstream.tls import client_context


class Place:
    """Where connections lead. `idle` ends with the one used last, which is taken first: the others may then expire."""

    __slots__ = ("idle", "open", "origin", "proxy")

    def __init__(self, origin: Origin, proxy: Proxy | None) -> None:
        self.origin = origin
        self.proxy = proxy
        self.idle: list[Connection] = []
        self.open = 0  # connections that are open or being opened


class _Waiter(NamedTuple):
    place: Place
    fresh: bool  # wants a new connection, not a kept one
    given: asyncio.Future[Connection | None]


class Pool:
    """One per process and event loop. One timer looks after all connections: deadlines of answers and idle ones."""

    def __init__(
        self,
        *,
        most: int,
        most_per_origin: int,
        idle_s: float,
        tick_s: float,
        tls: ssl.SSLContext | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._most = most
        self._most_per_origin = most_per_origin
        self._idle_s = idle_s
        self._tick_s = tick_s
        self._tls = tls
        self._proxies = proxies or Proxies()
        self._places: dict[Origin, Place] = {}
        self._connections: set[Connection] = set()
        self._open = 0
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def place(self, origin: Origin) -> Place:
        place = self._places.get(origin)
        if place is None:
            place = self._places[origin] = Place(origin, self._proxies.way_to(origin))
        return place

    def take_idle(self, place: Place) -> Connection | None:
        while place.idle:
            connection = place.idle.pop()
            if connection.usable:
                return connection
        return None

    async def take(self, place: Place, *, fresh: bool = False) -> Connection:
        """An idle connection (unless a `fresh` one is wanted), or a new one, or the next that gets free.

        Raises OSError if a new one can't be opened. No timeout of its own; cancelling leaves nothing behind.
        """
        while True:
            connection = None if fresh else self.take_idle(place)
            if connection is None and not self._take_slot(place):
                connection = await self._wait(place, fresh)
            if connection is None:
                return await self._connect(place)
            if connection.usable:
                return connection

    def release(self, connection: Connection) -> None:
        """Free for the next request: whoever waits for this place gets it at once."""
        if self._closed:
            connection.abort()
            return
        place = _place_of(connection)
        connection.used = True
        for entry in self._waiting:
            if entry.place is place and not entry.fresh and not entry.given.done():
                self._waiting.remove(entry)
                entry.given.set_result(connection)
                return
        connection.idle_since = connection.now()
        place.idle.append(connection)
        if self._waiting:
            self._pass_on_slots()

    def discard(self, connection: Connection) -> None:
        if self._forget(connection):
            self._pass_on_slots()

    def close(self) -> None:
        self._closed = True
        for connection in list(self._connections):
            answer = connection.answer
            if answer is None:
                connection.abort()
            else:
                answer.drop()
        for entry in list(self._waiting):
            entry.given.set_exception(ConnectionError())
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait(self, place: Place, fresh: bool) -> Connection | None:
        """A connection, or None: a slot was reserved for a new one."""
        entry = _Waiter(place, fresh, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            return await entry.given
        except BaseException:
            if entry in self._waiting:
                self._waiting.remove(entry)
            if entry.given.done() and not entry.given.cancelled():  # it came, but the caller is gone
                connection = entry.given.result()
                if connection is None:
                    self._free_slot(place)
                elif connection.usable:
                    self.release(connection)
            raise

    async def _connect(self, place: Place) -> Connection:
        """The slot is taken already."""
        loop = asyncio.get_running_loop()
        if self._tls is None and place.origin.scheme == "https":
            self._tls = client_context()
        connection = Connection(loop, self, place)
        try:
            await connect(connection, place.origin, place.proxy, self._tls)
        except BaseException:
            self._free_slot(place)
            raise
        self._connections.add(connection)
        if not connection.usable or self._closed:  # over before it began
            connection.abort()
            raise ConnectionError
        if self._timer is None:
            self._timer = loop.call_later(self._tick_s, self._tick)
        return connection

    def _take_slot(self, place: Place) -> bool:
        if place.open >= self._most_per_origin:
            return False
        if self._open >= self._most and not self._evict():
            return False
        place.open += 1
        self._open += 1
        return True

    def _free_slot(self, place: Place) -> None:
        place.open -= 1
        self._open -= 1
        self._pass_on_slots()

    def _forget(self, connection: Connection) -> bool:
        """Give its slot up, once."""
        if connection not in self._connections:
            return False
        self._connections.remove(connection)
        place = _place_of(connection)
        if connection in place.idle:
            place.idle.remove(connection)
        place.open -= 1
        self._open -= 1
        return True

    def _evict(self) -> bool:
        """Close the connection that has been idle for longest, whatever it leads to."""
        oldest = min((place.idle[0] for place in self._places.values() if place.idle), key=_idle_since, default=None)
        if oldest is None:
            return False
        self._forget(oldest)
        oldest.abort()
        return True

    def _pass_on_slots(self) -> None:
        """To whoever has waited longest among those who may open one."""
        for entry in list(self._waiting):
            if not entry.given.done() and self._take_slot(entry.place):
                self._waiting.remove(entry)
                entry.given.set_result(None)
                return

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections):
            answer = connection.answer
            if answer is None:
                self._expire(connection, now)
            elif answer.deadline <= now:
                connection.time_out()
        self._timer = loop.call_later(self._tick_s, self._tick) if self._connections else None

    def _expire(self, connection: Connection, now: float) -> None:
        place = _place_of(connection)
        if place.idle and place.idle[0] is connection and now - connection.idle_since > self._idle_s:
            connection.abort()


def _place_of(connection: Connection) -> Place:
    return cast(Place, connection.place)


def _idle_since(connection: Connection) -> float:
    return connection.idle_since
