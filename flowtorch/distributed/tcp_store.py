"""TCPStore: a store that one process keeps and all reach over the network.

A message is a number of parts, each with its length before it. A request holds the call's name, the milliseconds that
it may wait, and its values; the answer is a letter for its kind, and its values. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import weakref
from datetime import timedelta
from typing import Any

from flowtorch.distributed import DistNetworkError, DistStoreError
from flowtorch.distributed.stores import ANSWERS, DEFAULT_TIMEOUT, Store, Table, remaining

_LENGTH = struct.Struct("!Q")
_LISTED = ("check", "wait")  # calls whose one argument is a list of keys
_JOINED = "init/"  # counts the processes that have connected
_servers: weakref.WeakValueDictionary[int, _Server] = weakref.WeakValueDictionary()


def send(connection: socket.socket, parts: list[bytes]) -> None:
    """Send one message."""
    connection.sendall(
        _LENGTH.pack(len(parts)) + b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))
    )


def receive(connection: socket.socket) -> list[bytes]:
    """Receive one message; ConnectionError if the other side has gone."""

    def exactly(count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = connection.recv(min(count - len(data), 1 << 20))
            if not piece:
                raise ConnectionError("the other side has closed the connection")
            data += piece
        return bytes(data)

    (count,) = _LENGTH.unpack(exactly(_LENGTH.size))
    return [exactly(_LENGTH.unpack(exactly(_LENGTH.size))[0]) for _ in range(count)]


def packed(answer: Any) -> list[bytes]:
    """An answer as the parts of a message."""
    if answer is None:
        return [b"n"]
    if isinstance(answer, int):  # bool too
        return [b"b" if isinstance(answer, bool) else b"i", str(int(answer)).encode()]
    return [b"v", answer] if isinstance(answer, bytes) else [b"l", *answer]


def unpacked(parts: list[bytes]) -> Any:
    """The reverse of ``packed``; raises the error that the server met."""
    kind, *values = parts
    if kind == b"e":
        raise ValueError(values[0].decode())
    if kind == b"l":
        return values
    if kind == b"n":
        return None
    return values[0] if kind == b"v" else (bool if kind == b"b" else int)(int(values[0]))


class _Server:
    """Keeps the table of a TCPStore, and answers each connection in a thread."""

    def __init__(self, listening: socket.socket) -> None:
        self.table = Table()
        self.port = listening.getsockname()[1]
        self.connections = [listening]
        threading.Thread(target=_accept, args=(listening, self.table, self.connections), daemon=True).start()
        weakref.finalize(self, _close, self.connections)


def _close(connections: list[socket.socket]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):  # gone already
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _accept(listening: socket.socket, table: Table, connections: list[socket.socket]) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # closed: the store is no longer used
            return
        connections.append(connection)
        threading.Thread(target=_serve, args=(connection, table), daemon=True).start()


def _serve(connection: socket.socket, table: Table) -> None:
    with contextlib.suppress(OSError):  # the other process has ended, or this one closes
        while True:
            name, milliseconds, *values = receive(connection)
            send(connection, _answer(table, name.decode(), int(milliseconds) / 1000, values))


def _answer(table: Table, name: str, seconds: float, values: list[bytes]) -> list[bytes]:
    arguments: list[Any] = [values] if name in _LISTED else list(values)
    try:
        if name == "add":
            arguments[1] = int(values[1])
        return packed(ANSWERS[name](table, seconds, *arguments))
    except (KeyError, ValueError) as error:  # a key deleted meanwhile; add() to what is not a number
        return [b"e", f"{name}: {error}".encode()]


class TCPStore(Store):
    """A store that the process with ``is_master`` keeps, and all others reach by ``host_name`` and ``port``.

    ``port=0`` takes a free one. With ``world_size``, the master waits until so many processes have connected.
    """

    def __init__(
        self,
        host_name: str,
        port: int,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: timedelta = DEFAULT_TIMEOUT,
        wait_for_workers: bool = True,
        multi_tenant: bool = False,
        master_listen_fd: int | None = None,
        use_libuv: bool = True,
    ) -> None:
        self.set_timeout(timeout)
        self.host, self.libuvBackend = host_name, use_libuv
        self._server = _server(host_name, port, multi_tenant, master_listen_fd) if is_master else None
        self.port = self._server.port if self._server is not None else port
        self._lock = threading.Lock()
        self._connection = _connected(host_name, self.port, timeout)
        weakref.finalize(self, self._connection.close)
        self.add(_JOINED, 1)
        if is_master and wait_for_workers and world_size is not None:
            self._wait_for_workers(world_size)

    def _wait_for_workers(self, world_size: int) -> None:
        deadline = time.monotonic() + self._timeout.total_seconds()
        while (joined := self.add(_JOINED, 0)) < world_size:
            if not remaining(deadline):
                raise DistStoreError(
                    f"Timed out after {self._timeout.total_seconds():.0f} seconds waiting for clients. "
                    f"{joined}/{world_size} clients joined."
                )
            time.sleep(0.01)

    def _call(self, name: str, *values: Any, timeout: timedelta | None = None) -> Any:
        milliseconds = round((timeout or timedelta()) / timedelta(milliseconds=1))
        arguments = list(values[0]) if name in _LISTED else [_part(v) for v in values]
        with self._lock:
            try:
                send(self._connection, [name.encode(), str(milliseconds).encode(), *arguments])
                parts = receive(self._connection)
            except OSError as error:
                raise DistNetworkError(f"{error}: has the process that keeps the store ended?") from error
        return unpacked(parts)

    def clone(self) -> TCPStore:
        """Another connection to the same store."""
        return TCPStore(self.host, self.port, None, False, self._timeout, use_libuv=self.libuvBackend)


def _part(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _server(host_name: str, port: int, shared: bool, descriptor: int | None) -> _Server:
    if shared and port in _servers:
        return _servers[port]
    if descriptor is not None:
        listening = socket.socket(fileno=descriptor)
    else:
        # Other machines' processes come by any of this one's addresses; a store of this machine alone stays in it.
        alone = host_name in ("localhost", "127.0.0.1")
        try:
            listening = socket.create_server(("127.0.0.1" if alone else "", port), backlog=128)
        except (OSError, OverflowError) as error:
            raise DistNetworkError(
                f"The server socket has failed to listen on any local network address. port: {port}, message: {error}"
            ) from error
    server = _Server(listening)
    _servers[server.port] = server
    return server


def _connected(host_name: str, port: int, timeout: timedelta) -> socket.socket:
    """Connect, trying again until the timeout: the process that keeps the store may start later."""
    deadline = time.monotonic() + timeout.total_seconds()
    while True:
        try:
            connection = socket.create_connection((host_name, port), timeout=max(0.05, remaining(deadline)))
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            if not remaining(deadline):
                raise DistNetworkError(
                    f"The client socket has timed out after {round(timeout.total_seconds() * 1000)}ms while trying to "
                    f"connect to ({host_name}, {port})."
                ) from error
            time.sleep(min(0.05, remaining(deadline)))
