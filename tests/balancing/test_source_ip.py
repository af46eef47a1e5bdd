"""source-ip is maglev with the client's address as the key."""

import random

from balance.balancing.maglev import Maglev
from balance.balancing.source_ip import SourceIp
from balance.load import Load


def test_clients_are_spread_as_maglev_spreads_them() -> None:
    loads = [Load(identity=b"backend-%d" % number) for number in range(5)]
    policies = [made(random.random) for made in (SourceIp, Maglev)]
    for policy in policies:
        policy.rebuild(loads)
    for host in range(256):
        assert len({policy.pick(bytes([10, 0, 0, host]), (), 0.0) for policy in policies}) == 1
