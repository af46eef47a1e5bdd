"""What a worker does with traces: one tracer, and its exporter, which sends spans in the background."""
