"""Connecting to backends, for `balance validate --check-backends`."""

import socket
from pathlib import Path

from balance.cli.backend_check import unreachable
from balance.config import load_text


def closed_port() -> int:
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        return int(spare.getsockname()[1])


def test_backends_that_accept_are_reached_and_others_named(tmp_path: Path) -> None:
    port = closed_port()
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        path = f"{tmp_path}/s"
        unix.bind(path)
        unix.listen()
        text = f"""\
listen: ":1"
backends:
  - {{address: "127.0.0.1:{tcp.getsockname()[1]}"}}
  - {{address: "unix:{path}"}}
  - {{address: "127.0.0.1:{port}"}}
  - {{name: gone, address: "unix:{tmp_path}/gone"}}
"""
        found = unreachable(load_text(text, "f.yaml", {}).config)
    assert [str(problem) for problem in found] == [
        f"f.yaml: default.backend-3: backend 127.0.0.1:{port} can't be reached: Connection refused",
        f"f.yaml: default.gone: backend unix:{tmp_path}/gone can't be reached: No such file or directory",
    ]
