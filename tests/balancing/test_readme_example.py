"""The example policy in the README works."""

import random
import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

from balance.balancing import NO_BACKEND
from balance.load import Load


def example() -> Any:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    section = text[text.index("## Adding an algorithm") :]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(compile(textwrap.dedent(block[1]), "README.md", "exec"), names)
    return names["Backwards"]


def test_example_is_fair_and_avoids_what_it_is_told_to() -> None:
    policy = example()(random.Random(1).random)
    assert policy.pick(b"", (), 0.0) == NO_BACKEND
    policy.rebuild([Load(), Load(), Load()])
    assert set(Counter(policy.pick(b"", (), 0.0) for _ in range(30)).values()) == {10}
    assert {policy.pick(b"", (1,), 0.0) for _ in range(9)} == {0, 2}
    assert policy.pick(b"", (0, 1, 2), 0.0) == NO_BACKEND
