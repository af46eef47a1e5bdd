"""Settings of the tests as a whole."""

from hypothesis import HealthCheck, settings

# How long an example takes is up to the machine: no test fails because it is busy.
settings.register_profile("balance", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("balance")
