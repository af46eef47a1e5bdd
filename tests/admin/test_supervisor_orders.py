"""Orders and verdicts go between processes."""

import pickle

import pytest

from balance.admin.supervisor_orders import ChangeBackends, GenerationInfo, OrderResult, Reload, Restart, Stop, Upgrade
from balance.config.loading import load_text
from balance.config.overrides.runtime_overrides import BackendChange, Verb

CONFIG = load_text('listen: ":1"\nbackends: [{address: "h:1"}]\n', "f.yaml", {}).config


@pytest.mark.parametrize(
    "message",
    [
        Reload("text", rollback=True),
        ChangeBackends((BackendChange(Verb.SET, "app", "a", "{}"),), dry_run=True),
        Restart(),
        Upgrade(),
        Stop(),
        OrderResult(False, 3, ("+ pool app",), ("no",), ("dropped",), "refused"),
        GenerationInfo(1, 2.0, "start", CONFIG, is_current=True),
    ],
    ids=lambda message: type(message).__name__,
)
def test_it_arrives_as_it_was_sent(message: object) -> None:
    assert pickle.loads(pickle.dumps(message)) == message
