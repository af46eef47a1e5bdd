"""Sockets, dialling, timers and backpressure: what both modes stand on."""
