"""Health of backends: states, outlier detection, circuit breakers, slow start, readiness. Pure logic without I/O."""
