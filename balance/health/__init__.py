"""How is it doing: states, probes, ejection, breakers, slow start, readiness of the whole. Pure decisions."""
