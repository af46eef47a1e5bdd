"""The units in deployments/systemd leave Balance the time it takes, and listen where the first example does."""

import configparser
from pathlib import Path

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
