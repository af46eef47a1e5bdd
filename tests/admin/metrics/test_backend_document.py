"""The backends as JSON, as /metrics shows them to whoever asks for JSON."""

from __future__ import annotations

from test_metrics_keys import Served

from balance.admin.metrics.backend_document import backend_document
from balance.health.states import State

FILE = """\
pools:
  app:
    backends:
    - {name: a, address: "127.0.0.1:1", weight: 3, region: eu}
    - {name: b, address: "unix:/run/b.sock"}
listeners: [{name: web, mode: http, listen: "127.0.0.1:80", pool: app}]
"""


def test_each_backend_says_where_it_is_whether_it_lives_and_how_fast_it_is() -> None:
    served = Served(file=FILE)
    served.request(("app", "a"), 200, 10)
    served.request(("app", "a"), 200, 30, worker=1)
    served.board.set_state(served.view.slots["app", "b"], State.UNHEALTHY, 1.0)
    one = {"name": "a", "pool": "app", "url": "http://127.0.0.1:1", "alive": True, "weight": 3, "region": "eu", "latency": 0.02}
    other = {"name": "b", "url": "unix:/run/b.sock", "alive": False, "weight": 1, "region": None, "latency": None}
    assert backend_document(served.view) == {"backends": [one, one | other]}
