"""How many backends a pool should have: decisions only. Who asks and acts is in balance/process/control/autoscaling."""
