"""The units in deployments/systemd leave Balance the time it takes, and listen where the first example does."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from balance.config import load_file
from balance.process.supervisor import supervisor
from balance.process.worker import worker

DEPLOYMENTS = Path(__file__).parents[1] / "deployments"
CONFIG = load_file(DEPLOYMENTS / "examples" / "http-minimal.yaml", {}).config


def section(file: str, name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOYMENTS / "systemd" / file)
    return parser[name]


def test_service_is_given_the_time_that_its_start_and_its_end_take() -> None:
    service = section("balance.service", "Service")
    end_s = CONFIG.shutdown_delay_s + CONFIG.drain_s + 2 * worker.EXIT_GRACE_S + supervisor.CLOSE_TIMEOUT_S
    assert float(service["TimeoutStopSec"]) > end_s
    assert float(service["TimeoutStartSec"]) > supervisor.START_TIMEOUT_S


def test_service_speaks_for_itself_and_is_signalled_alone() -> None:
    service = section("balance.service", "Service")
    assert (service["Type"], service["KillMode"], service["ExecReload"]) == ("notify", "mixed", "/bin/kill -HUP $MAINPID")


def test_socket_is_the_one_that_the_first_example_listens_on() -> None:
    (listener,) = CONFIG.listeners
    assert [str(address) for address in listener.addresses] == [f":{section('balance.socket', 'Socket')['ListenStream']}"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
@pytest.mark.parametrize(("broken", "said"), [(False, ""), (True, "Unknown key 'KillMod'")])
def test_systemd_understands_every_line(broken: bool, said: str, tmp_path: Path) -> None:
    for unit in ("balance.service", "balance.socket"):
        text = (DEPLOYMENTS / "systemd" / unit).read_text().replace("/opt/balance/bin/balance", "/bin/true")
        (tmp_path / unit).write_text(text.replace("KillMode", "KillMod") if broken else text)
    units = [str(tmp_path / unit) for unit in ("balance.service", "balance.socket")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert done.returncode == 0
    assert (said in done.stderr) if said else done.stderr == ""


def test_every_folder_of_the_unit_is_where_the_page_puts_things() -> None:
    service = section("balance.service", "Service")
    page = (DEPLOYMENTS.parent / "docs" / "DEPLOYMENT.md").read_text()
    chapter = page.partition("\n## systemd\n")[2].partition("\n## ")[0]
    program, _, config = (service["ExecStart"].split()[0], *service["ExecStart"].split()[-2:])
    for path in (
        program.removesuffix("/bin/balance"),
        config,
        f"/run/{service['RuntimeDirectory']}",
        f"/var/log/{service['LogsDirectory']}",
    ):
        assert path in chapter, path
    shipped = re.findall(r"deployments/systemd/[\w.]+", chapter)
    assert shipped
    assert [path for path in shipped if not (DEPLOYMENTS.parent / path).is_file()] == []


def test_logrotate_moves_the_logs_of_the_unit_and_has_them_begun_anew() -> None:
    service = section("balance.service", "Service")
    text = (DEPLOYMENTS / "systemd" / "balance.logrotate").read_text()
    assert f"/var/log/{service['LogsDirectory']}/*.log {{" in text
    assert "systemctl reload balance" in text
    assert service["ExecReload"].startswith("/bin/kill -HUP")
    assert "copytruncate" not in text  # loses what is written between its two steps
