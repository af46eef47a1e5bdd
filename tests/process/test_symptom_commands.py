"""Each command of docs/TROUBLESHOOTING.md, as it stands, shows what it is said to show of an instance with that trouble."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from troubled_instance import TroubledInstance

from balance.words.symptoms import SYMPTOMS
from balance.words.whys import WHYS

pytestmark = pytest.mark.long

# For each command of a symptom, in their order, what its output has.
SHOWN = {
    "clients see 502": (r"1 connect_refused\tdead\t", r"d1 ", r"d1.*127.0.0.1"),
    "clients see 503": (r"1 no_healthy\tout\t", r"o1 .*drain", r"(?m)^\s*out "),
    "clients see 504": (r"response_header_timeout\theld\ta\d\t0", r"P50 +P99[^!]*app/a1 "),
    "clients see 400, 404, 408, 413 and others of 4xx": (r"\d 404\tno_route\t", r"moved"),
    "clients see 500 or 501": (r"1 ok\tapp\ta\d", r"1 not_implemented\t", r"^0$"),
    "connections are reset or refused, without a status": (
        r'refused_total\{listener="main",reason="blocked"\} 1',
        r"127.0.0.9",
        r"127.0.0.9 may not connect",
    ),
    "TLS handshakes fail": (r'result="not_tls"\} 1', r"failed: tls_not_tls", r"example.crt"),
    "replies, sessions or WebSockets break off": (r"reset_mid_response\tGET\ta\d", r"(?m)^\w+\ta\d\t\d"),
    "latency went up": (r"P50 +P99[^!]*app/a2 ", r'"backend":"a1","n":\d+,"queue":0,', r'lag_seconds\{worker="1"\} '),
    "one backend gets nothing, or too little": (
        r"SH/DUE[^!]*out/o1.*Drained",
        r"o1 .*drain",
        r"out/o1.*drain",
        r"(?m)^ +\d+ a1$",
    ),
    "a backend is out, or goes in and out": (r"o1 .*drain", r"out/o1", r"d1"),
    "discovery finds nobody, or the wrong backends": (
        r'"name":"found".*"state":"failing".*No such file',
        r"a1",
        r"discovery of pool found .* fails: .*found.yaml: can't be read",
    ),
    "a pool does not grow or shrink as it should": (r"app .*", r"pool app \(dry run\): would go from 2 to 3"),
    "requests are tried several times, or not again": (
        r'\["GET","/half",200,\d,"made",\[\{"backend":"h1","why":"connect_refused"',
        r'backend_retries_total\{backend="h1",pool="half"\} [12]',
    ),
    "a request took the wrong route": (r"half.*", r"(?m)^app\t\tapp\ta\t/app/broken$"),
    "a client loses its session": (r'"pools": \[', r"o1"),
    "a user quotes an error page, a request id or a time": (r'"why": "bad_response"', r"request_id=ID"),
    "one client, or many, ask too much": (r"(?m)^ +\d+ 127.0.0.1$", r"127.0.0.9"),
    "who changed it?": (r"change at run time|start", r"ordered by .* drain", r"ordered by .*block"),
    "a reload did nothing": (r"valid", r"a2: weight 1 -> 3", r"now", r"wrokers"),
    "memory or CPU is high": (r"process_resident_memory_bytes \d", r'"memory_bytes":\d+'),
    "a worker died": (r"worker was replaced", r"(killed|signal|SIGKILL)", r"worker_restarts_total 1"),
    "lines of a log are missing": (r"lines_lost_total 0", r"^$"),
    "`/ready` or `/health` says no": (r"ready|ok", r"(?i)serving|ready"),
}
WRONG_STATUS = {"balance validate --check-backends config.yaml": 1, "grep -c 'crashed\\|Traceback' balance.log": 1}


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TroubledInstance]:
    for program in ("jq", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    troubled = TroubledInstance(tmp_path_factory.mktemp("troubled"))
    yield troubled
    troubled.destroy()


@cache
def run(command: str, troubled: TroubledInstance) -> subprocess.CompletedProcess[str]:
    port = troubled.instance.admin_port
    script = f'balance() {{ {sys.executable} -m balance "$@"; }}\nset -o pipefail\n{command}'.replace(
        "127.0.0.1:9090", f"127.0.0.1:{port}"
    )
    env = os.environ | {"BALANCE_ADMIN": f"127.0.0.1:{port}", "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=troubled.folder, env=env, timeout=60)


def test_every_command_of_every_symptom_is_tried() -> None:
    assert {symptom.seen: len(symptom.looks) for symptom in SYMPTOMS} == {seen: len(shown) for seen, shown in SHOWN.items()}


@pytest.mark.parametrize("seen", SHOWN)
def test_commands_show_what_they_are_said_to(seen: str, troubled: TroubledInstance) -> None:
    looks = next(symptom.looks for symptom in SYMPTOMS if symptom.seen == seen)
    for look, pattern in zip(looks, SHOWN[seen], strict=True):
        done = run(look.command, troubled)
        said = done.stdout + done.stderr
        assert re.search(pattern, said), f"{look.command}\n{said}"
        expected = WRONG_STATUS.get(look.command, 1 if pattern == "^$" else 0)
        assert done.returncode == expected, f"{look.command}\n{said}"


def test_each_line_of_the_access_log_is_counted_and_what_has_none_is_counted_too(troubled: TroubledInstance) -> None:
    lines = Counter(json.loads(line)["why"] for line in troubled.access.splitlines())
    _, text = troubled.instance.get("/metrics", troubled.instance.admin_port)
    samples = re.findall(r'(?m)^balance_requests_ended_total\{why="(\w+)"\} (\d+)', text)
    counted = Counter({why: int(float(count)) for why, count in samples})
    assert counted - lines == Counter({"blocked": 1, "tls_not_tls": 1, "proxy_header": 1})
    assert lines - counted == Counter()
    paths = Counter(json.loads(line)["path"] for line in troubled.access.splitlines())
    assert (paths["/copied"], paths["/app/ws"]) == (1, 2)  # no line for the copy; one for the request and one for its tunnel


def test_the_first_command_of_every_word_works(troubled: TroubledInstance) -> None:
    for command in {row.look for row in WHYS.values()}:
        done = run(command, troubled)
        nothing_found = command.startswith("grep") or "--check-backends" in command
        assert done.returncode == 0 or (nothing_found and done.returncode == 1), f"{command}\n{done.stderr}"
        assert "error" not in done.stderr.lower() or "--check-backends" in command, f"{command}\n{done.stderr}"
