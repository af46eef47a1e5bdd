"""How is it doing: thresholds over probes, and readiness of the whole. Pure decisions."""
