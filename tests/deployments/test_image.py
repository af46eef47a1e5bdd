"""The image: what the Dockerfile says, and what comes of its steps when they are carried out (S45, S46, S50)."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from container import Container
from dockerfile import ROOT, Ignored, health_check, stages
from instance_process import until
from scratch_root import ImageBuilder, need_namespaces
from server_processes import program

from balance.build_details import VARIABLES
from balance.config import load_file
from balance.version import VERSION

TEXT = (ROOT / "Dockerfile").read_text()
ARGS = {"VERSION": "1.2.3-4", "GIT_COMMIT": "3f2a9c1", "BUILD_TIME": "2026-11-29T12:00:00Z"}
STAGES = stages(TEXT, {})
LAST = STAGES[-1]
CONFIG = ROOT / "deployments" / "docker" / "default.yaml"
RANDOM_UID = 1_234_567  # as OpenShift gives one
BUILT = pytest.mark.long


def test_hadolint_finds_nothing() -> None:
    hadolint = program("hadolint", str(Path(sys.executable).parent))
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_last_stage_has_no_tool_of_the_build_and_a_user_by_number() -> None:
    """S45: Kubernetes' runAsNonRoot can't tell of a name that it is not root."""
    assert [each.name for each in STAGES] == ["build", ""]
    assert LAST.one("USER").text == "10001:10001"
    assert not [each for each in LAST.instructions if each.name == "RUN"]
    assert {each.base for each in STAGES} == {"python:3.13-slim"}
    assert "3.13" in [text.rsplit(" ", 1)[-1] for text in _classifiers()]


def _classifiers() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[str] = project["classifiers"]
    return found


def test_packages_come_by_their_hashes_alone() -> None:
    installs = [
        part for each in STAGES[0].instructions if each.name == "RUN" for part in each.text.split("&&") if "pip" in part
    ]
    from_index = [each for each in installs if "--no-index" not in each and "wheel --no" not in each and " install " in each]
    assert len(from_index) == 3
    assert all("--require-hashes" in each and "--only-binary :all:" in each for each in from_index)


def test_the_health_check_is_our_own_command_and_ends_before_docker_ends_it() -> None:
    """S45: no curl in a slim image; a check that is killed says nothing of why."""
    check = LAST.one("HEALTHCHECK")
    assert health_check(LAST)[:2] == ["balance", "healthcheck"]
    assert float(health_check(LAST)[3]) < float(check.options["timeout"].removesuffix("s"))


def test_signals_reach_the_program_itself() -> None:
    assert LAST.one("ENTRYPOINT").command == ["balance"]  # exec form: no shell as process 1
    assert LAST.one("CMD").command == ["serve"]
    assert LAST.one("STOPSIGNAL").text == "SIGTERM"


def test_build_arguments_reach_the_labels_and_the_program() -> None:
    env = LAST.environment(ARGS, {"PATH": "/bin"})
    assert [env[name] for name in VARIABLES] == [*ARGS.values()]
    labels = LAST.one("LABEL").pairs({**ARGS, **env})
    prefix = "org.opencontainers.image."
    assert [labels[prefix + name] for name in ("version", "revision", "created")] == [*ARGS.values()]
    assert {prefix + name for name in ("title", "description", "licenses")} < set(labels)


def test_ports_are_those_of_the_first_configuration_which_needs_nothing() -> None:
    loaded = load_file(CONFIG, {})
    assert loaded.warnings == ()
    config = loaded.config
    addresses = [config.listeners[0].addresses[0], config.admin.address, config.metrics.address]
    assert [str(each.port) for each in addresses if each is not None] == LAST.one("EXPOSE").words
    assert all(each is not None and each.port >= 1024 for each in addresses)  # a user who is not root may bind them anywhere


def test_what_is_copied_is_there_and_nothing_else_is_sent_to_the_builder() -> None:
    ignored = Ignored((ROOT / ".dockerignore").read_text())
    copied = [word for stage in STAGES for each in stage.instructions if each.name == "COPY" and "from" not in each.options
              for word in each.words[:-1]]  # fmt: skip
    assert [name for name in copied if not (ROOT / name).exists() or name in ignored] == []
    sent = [path for path in ROOT.iterdir() if path.name not in ignored]
    assert {path.name for path in sent} == {name for name in copied if "/" not in name}
    for secret in (".git/config", "deployments/docker/.env", "deployments/examples/admin.token", "balance/__pycache__/x.pyc"):
        assert secret in ignored


# --- carried out ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageBuilder]:
    """From a checkout with a umask of 077: nothing in it may be read by anybody but its owner."""
    need_namespaces()
    folder = tmp_path_factory.mktemp("image")
    context = folder / "context"
    context.mkdir()
    ignored = Ignored((ROOT / ".dockerignore").read_text())
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    for name in (*filter(None, tracked), ".dockerignore"):
        if (name == ".dockerignore" or name not in ignored) and (ROOT / name).is_file():
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, context / name)
            (context / name).chmod(0o600)
    builder = ImageBuilder(folder, context, ARGS, _downloads())
    builder.build(stages(TEXT, ARGS))
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    yield builder
    shutil.rmtree(folder, ignore_errors=True)


def _downloads() -> dict[str, str]:
    """What pip is told on this machine of where packages are."""
    found = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and name != "PIP_FIND_LINKS"}
    index = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True)
    return found | ({"PIP_INDEX_URL": index.stdout.strip()} if index.returncode == 0 else {})


@pytest.fixture
def started(built: ImageBuilder) -> Iterator[list[Container]]:
    made: list[Container] = []
    yield made
    for each in made:
        each.destroy()


def start(built: ImageBuilder, started: list[Container], *words: str, **options: object) -> Container:
    command = [*LAST.one("ENTRYPOINT").command, *(words or LAST.one("CMD").command)]
    started.append(Container(built.roots[""], command, built.environ | dict(options.pop("environ", {})), **options))  # type: ignore
    return started[-1]


@BUILT
@pytest.mark.parametrize("uid", [10001, RANDOM_UID])
def test_it_starts_with_nothing_mounted_and_nothing_to_write_to(
    built: ImageBuilder, started: list[Container], uid: int
) -> None:
    """S45, S46, S50: read-only, without capabilities, as the image's user and as anybody."""
    container = start(built, started, uid=uid, gid=0 if uid == RANDOM_UID else uid).ready()
    assert container.exec("touch", "/tmp/x", "/etc/balance/x").returncode == 1
    assert container.exec("id", "-u").stdout.strip() == str(uid)
    assert container.ask("http://127.0.0.1:8080/")[0] == 503
    assert "mount one as /etc/balance/config.yaml" in container.ask("http://127.0.0.1:8080/any")[1]
    assert container.ask("http://127.0.0.1:9091/health")[0] == 200
    version = container.ask_json("http://127.0.0.1:9090/version")
    assert (version["version"], [*version["build"].values()]) == (VERSION, [*ARGS.values()])
    healthy = container.exec(*health_check(LAST))
    assert (healthy.returncode, healthy.stdout) == (0, "healthy\n")
    assert not {"warning", "error"} & {line.split(" ", 1)[0] for line in container.lines}, container.log
    container.signal(signal.SIGTERM)
    assert container.ended() == 0
    assert "Traceback" not in container.log


@BUILT
def test_it_has_every_library_that_a_configuration_can_ask_for(built: ImageBuilder, started: list[Container]) -> None:
    modules = "argon2 bcrypt brotli h2 hiredis joserfc maxminddb re2 redis zstandard"
    code = f"import importlib; [importlib.import_module(name) for name in {modules.split()}]"
    container = Container(built.roots[""], ["python", "-c", code], built.environ)
    started.append(container)
    assert container.ended() == 0, container.log
    site = next(iter((built.roots[""] / "opt/balance/lib").glob("python3*/site-packages")))
    assert not (site / "pip").exists()
    compiled = {path.name.split(".")[0] for path in (site / "balance" / "cli" / "__pycache__").iterdir()}
    assert compiled == {path.stem for path in (site / "balance" / "cli").glob("*.py")}  # nobody can write them later
    assert (site / "balance/admin/dashboard/assets/index.html").exists()
    assert (site / "balance/py.typed").exists()


@BUILT
def test_its_words_are_the_commands(built: ImageBuilder, started: list[Container], tmp_path: Path) -> None:
    """`docker run IMAGE validate FILE` and `--version`; a file that is wrong is one line and a status, no loop of restarts."""
    said = start(built, started, "--version")
    assert said.ended() == 0
    assert said.lines[:1] == [f"balance {VERSION} (build 1.2.3-4, commit 3f2a9c1, of 2026-11-29T12:00:00Z)"]
    checked = start(built, started, "validate", "/etc/balance/config.yaml")
    assert checked.ended() == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("listne: :8080\n")
    wrong.chmod(0o644)
    refused = start(built, started, volumes=[(str(wrong), "/etc/balance/config.yaml")])
    assert refused.ended() == 1
    assert "listne" in refused.log
    assert "Traceback" not in refused.log
    unreadable = tmp_path / "unreadable.yaml"
    unreadable.write_text("listen: :8080\n")
    unreadable.chmod(0o600)
    refused = start(built, started, volumes=[(str(unreadable), "/etc/balance/config.yaml")])
    assert refused.ended() == 2
    assert "/etc/balance/config.yaml" in refused.log


@BUILT
def test_as_process_1_it_ends_at_sigterm_also_before_it_serves(built: ImageBuilder, started: list[Container]) -> None:
    """The kernel keeps a signal from process 1 that has no handler yet: `docker stop` would wait for its ten seconds."""
    container = start(built, started)
    status = f"/proc/{until(lambda: container.first_pid, 'process 1')}/status"

    def catches() -> bool:
        mask = next(line for line in Path(status).read_text().splitlines() if line.startswith("SigCgt"))
        return bool(int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1)

    until(catches, "a handler")
    container.signal(signal.SIGTERM)
    assert container.ended() in (0, 128 + signal.SIGTERM)
    assert "Traceback" not in container.log


@BUILT
def test_as_process_1_it_reaps_whom_it_did_not_start(built: ImageBuilder, started: list[Container], tmp_path: Path) -> None:
    """S45: what a health check leaves behind would fill the table of processes."""
    config = tmp_path / "balance.yaml"
    config.write_text(
        "listen: ':8080'\nworkers: 1\nbackends: [{name: a, address: '127.0.0.1:9'}]\nmetrics: {listen: ':9091'}\n"
        "health_check: {enabled: true, type: exec, command: [/bin/sh, -c, '(sleep 0.05; exit 3) & exit 0'], interval: 100ms}\n"
    )
    config.chmod(0o644)
    container = start(built, started, volumes=[(str(config), "/etc/balance/config.yaml")]).ready()
    lives = f"/proc/{container.first_pid}/root/proc"

    def processes() -> list[tuple[str, str, int]]:
        found = []
        for each in Path(lives).iterdir():
            if each.name.isdigit():
                try:
                    text = (each / "stat").read_text()
                except OSError:
                    continue
                found.append((text[text.index("(") + 1 : text.rindex(")")], text.rpartition(") ")[2][0], int(each.name)))
        return found

    def newest() -> int:
        return max(pid for _, _, pid in processes())

    first = newest()
    until(lambda: newest() > first + 12, "some checks")
    until(lambda: not [each for each in processes() if each[1] == "Z" and each[0] == "sh"], lambda: str(processes()))
    container.exec("sh", "-c", "(sleep 0.01) & (sleep 0.02) & exit 0")  # as `docker exec`
    until(lambda: len([each for each in processes() if each[1] == "Z"]) <= 1, lambda: str(processes()))
    container.signal(signal.SIGTERM)
    container.signal(signal.SIGINT)
    container.ended()


SAYING = "mode: http\nworkers: 1\nhttp: {routes: [{respond: {status: 200, body: hi}}]}\n"


def mounted(folder: Path, text: str) -> dict[str, object]:
    """The option that mounts a configuration."""
    file = folder / "balance.yaml"
    file.write_text(text)
    file.chmod(0o644)
    return {"volumes": [(str(file), "/etc/balance/config.yaml")]}


@BUILT
def test_flags_do_without_a_file_and_the_health_check_still_finds_it(built: ImageBuilder, started: list[Container]) -> None:
    """`docker run IMAGE serve --listen :8080 --backend app:8000`: the image's own file says nothing of this instance."""
    container = start(built, started, "serve", "--listen", ":8080", "--backend", "127.0.0.1:9", "--workers", "1").ready()
    healthy = container.exec(*health_check(LAST))
    assert (healthy.returncode, healthy.stdout) == (0, "healthy\n")
    assert container.ask("http://127.0.0.1:8080/")[0] == 502
    container.signal(signal.SIGINT)
    assert container.ended() == 0


@BUILT
def test_logs_go_to_the_devices_of_the_container(built: ImageBuilder, started: list[Container], tmp_path: Path) -> None:
    """moby 6880: /dev/stdout is a pipe of root's, and opening it is refused to anybody else."""
    outputs = "listen: ':8080'\nlogging: {output: /dev/stderr, access_log: {enabled: true, output: /dev/stdout}}\n"
    container = start(built, started, **mounted(tmp_path, SAYING + outputs)).ready()
    assert container.ask("http://127.0.0.1:8080/seen") == (200, "hi")
    until(lambda: "/seen" in container.log, lambda: container.log)


@BUILT
@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ("unix:/run/balance/app.sock", "/run/balance/app.sock"),  # no such folder in the image
        ("unix:/tmp/app.sock", "/tmp/app.sock"),  # a read-only one
        (":80", ":80"),  # Docker lets everybody bind it, Kubernetes' runtimes only since lately
    ],
)
def test_what_it_may_not_open_is_named_in_a_line(
    built: ImageBuilder, started: list[Container], tmp_path: Path, listen: str, said: str
) -> None:
    """S46."""
    container = start(built, started, **mounted(tmp_path, f"{SAYING}listen: '{listen}'\n"))
    assert container.ended() == 1
    assert len([line for line in container.lines if said in line and line.startswith("balance: ")]) == 1
    assert "Traceback" not in container.log


@BUILT
def test_sockets_are_in_a_folder_that_is_mounted_and_the_health_check_finds_them(
    built: ImageBuilder, started: list[Container], tmp_path: Path
) -> None:
    """S46: `--tmpfs /tmp`."""
    text = f"{SAYING}listen: 'unix:/tmp/app.sock'\nadmin: {{listen: 'unix:/tmp/admin.sock'}}\n"
    container = start(built, started, tmpfs=("/dev/shm", "/tmp"), **mounted(tmp_path, text)).ready()
    assert container.exec(*health_check(LAST)).stdout == "healthy\n"  # where the admin port has moved to, traefik 3256
    container.signal(signal.SIGINT)
    assert container.ended() == 0
