"""Traffic rules: one file each, and one line in STAGES, in the order in which they judge a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from balance.config.route_model import RouteConfig
from balance.stages.compression import compression_stage
from balance.stages.environment import StageEnvironment
from balance.stages.fault import fault_stage
from balance.stages.mirror import mirror_stage
from balance.stages.rate_limits.rate_limit_stage import claim_limit_stage, rate_limit_stage
from balance.stages.rate_limits.refused_tokens import refused_tokens_stage
from balance.stages.redirect import redirect_stage, upgrade_stage
from balance.stages.region import region_stage
from balance.stages.respond import respond_stage
from balance.stages.rules.rules_stage import rules_stage
from balance.stages.security.basic_auth import basic_auth_stage
from balance.stages.security.cors_stage import cors_stage
from balance.stages.security.forward_auth import forward_auth_stage
from balance.stages.security.headers_stage import headers_stage
from balance.stages.security.jwt_stage import jwt_stage
from balance.stages.splitting.blue_green import blue_green_stage
from balance.stages.splitting.canary import canary_stage
from balance.stages.splitting.split import split_stage
from balance.stages.stage import Stage
from balance.stages.transform import transform_stage

Build = Callable[[RouteConfig, StageEnvironment], Stage | None]  # None: the route has no such rule

# On the way in they are asked from the first to the last; on the way back from the last to the first.
STAGES: Final[tuple[Build, ...]] = (
    compression_stage,  # the last one on the way back: it goes by the fields that the others leave
    headers_stage,
    cors_stage,  # before limits and authentication: browsers send a preflight without either
    rate_limit_stage,  # before all that costs more
    refused_tokens_stage,
    upgrade_stage,  # before who asks: no password and no token in plain text
    basic_auth_stage,  # before rules, which go by what it says of the user
    jwt_stage,
    claim_limit_stage,  # by what a token says
    forward_auth_stage,  # what costs a question comes after what does not
    region_stage,  # rules and all behind them may go by the region
    rules_stage,  # before all that chooses a pool, which leaves what a rule has chosen
    fault_stage,
    redirect_stage,
    respond_stage,
    blue_green_stage,
    split_stage,
    canary_stage,  # takes users out of what the two before it have chosen
    mirror_stage,  # what is answered or refused above is not copied
    transform_stage,  # last: it makes what goes to the backend
)


def build_stages(route: RouteConfig, environment: StageEnvironment) -> tuple[Stage, ...]:
    """The stages that the route needs, in the order of STAGES."""
    made = (build(route, environment) for build in STAGES)
    return tuple(stage for stage in made if stage is not None)
