"""The attributes of errors."""

from balance.errors import BalanceError, ConfigError, Problem, ProtocolError, StartError, UpstreamError
from balance.model import TryPhase, Why


def test_problem_is_one_line_with_its_place() -> None:
    assert str(Problem("c.yaml", 3, 7, "mode", "is wrong")) == "c.yaml:3:7: mode: is wrong"
    assert str(Problem("c.yaml", 0, 0, "", "is empty")) == "c.yaml: is empty"


def test_config_error_keeps_every_problem_in_order() -> None:
    problems = [Problem("c.yaml", 1, 1, "a", "x"), Problem("c.yaml", 2, 1, "b", "y")]
    error = ConfigError(problems)
    assert error.problems == tuple(problems)
    assert str(error) == "c.yaml:1:1: a: x\nc.yaml:2:1: b: y"


def test_every_error_is_caught_as_one() -> None:
    for error in (
        ConfigError([]),
        StartError("no"),
        ProtocolError(400, Why.BAD_REQUEST, "no"),
        UpstreamError(TryPhase.CONNECT, Why.CONNECT_REFUSED, "no"),
    ):
        assert isinstance(error, BalanceError)


def test_protocol_error_says_what_to_answer_and_why() -> None:
    error = ProtocolError(431, Why.HEADER_TOO_LARGE, "too large")
    assert (error.status, error.why, error.detail, str(error)) == (431, Why.HEADER_TOO_LARGE, "too large", "too large")
