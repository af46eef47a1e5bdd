"""random: choice in proportion to the weights."""

import random
from collections import Counter

from balance.balancing.random_choice import RandomChoice
from balance.load import Load


def test_shares_follow_weights_and_nothing_else() -> None:
    policy = RandomChoice(random.Random(1).random)
    policy.rebuild([Load(5, active=1000), Load(3), Load(2)])
    seen = Counter(policy.pick(b"key", (), 0.0) for _ in range(20_000))
    for index, due in enumerate((10_000, 6000, 4000)):
        assert abs(seen[index] - due) < 400


def test_weights_are_read_again_at_a_rebuild() -> None:
    policy = RandomChoice(random.Random(1).random)
    loads = [Load(1), Load(1)]
    policy.rebuild(loads)
    loads[0].weight = 99
    policy.rebuild(loads)
    assert Counter(policy.pick(b"", (), 0.0) for _ in range(1000))[0] > 960
