"""Test servers: their ports are nobody else's."""

import socket
import sys
from pathlib import Path

import pytest

from tools import server
from tools.server import PORTS, free_port

LINUX_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which ports outgoing connections get")
def test_no_outgoing_connection_is_given_one_of_the_ports() -> None:
    first, last = map(int, LINUX_RANGE.read_text(encoding="ascii").split())
    if first < 32_768:
        pytest.skip(f"outgoing connections get ports from {first} on here, so one may take that of a test server")
    assert not set(PORTS) & set(range(first, last + 1))


def test_a_port_that_is_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        port: int = taken.getsockname()[1]
        monkeypatch.setattr(server, "PORTS", range(port, port + 1))
        with pytest.raises(OSError, match=f"expected a free port of 127.0.0.1 from {port} to {port}; all are in use"):
            free_port()
    assert free_port() == port
