"""Nothing is sent anywhere: every test runs under a guard, and this one shows that the guard sees what it should."""

from __future__ import annotations

import socket
import urllib.request
from contextlib import suppress

import pytest


def test_the_guard_refuses_what_leaves_the_machine(network_calls: list[str]) -> None:
    with pytest.raises(AssertionError, match="wanted the network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(AssertionError, match="wanted the network"):
        urllib.request.urlopen("http://example.invalid/")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, suppress(AssertionError):
        datagram.sendto(b"", ("192.0.2.1", 53))
    assert len(network_calls) == 3
    network_calls.clear()


def test_the_guard_lets_the_machine_talk_to_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    first, second = socket.socketpair()
    first.close()
    second.close()
