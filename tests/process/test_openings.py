"""The sockets of a whole configuration: all or none, and to each process its own."""

import socket

import pytest

from balance.config.model import AdminConfig, Config, ListenerConfig, MetricsConfig
from balance.errors import StartError
from balance.model import Address, Mode
from balance.process.openings import open_all


def config(*ports: int, admin: int = 0, metrics: int = 0) -> Config:
    return Config(
        listeners=tuple(
            ListenerConfig(f"l{index}", (Address("127.0.0.1", port),), Mode.TCP, "p") for index, port in enumerate(ports)
        ),
        pools=(),
        workers=2,
        admin=AdminConfig(address=Address("127.0.0.1", admin)),
        metrics=MetricsConfig(address=Address("127.0.0.1", metrics)),
    )


def test_each_worker_gets_its_own_socket_of_every_listener_and_control_the_side_doors() -> None:
    openings = open_all(config(0, 0))
    try:
        assert [name for name, _ in openings.of_worker(1)] == ["l0", "l1"]
        assert [opening.listener for opening in openings.side] == ["admin", "metrics"]
        assert openings.of_worker(0)[0][1] is openings.listeners[0].sockets[0]
    finally:
        openings.close()


def test_one_address_that_cannot_be_had_gives_the_others_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(StartError, match="listener l1"):
            open_all(config(port, taken.getsockname()[1]))
        socket.create_server(("127.0.0.1", port)).close()
