"""Sockets, dialling, timers and backpressure, for TCP and HTTP mode."""
