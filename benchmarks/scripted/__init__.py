"""Scripted connections through the real path: what a client and a backend send is written down, and leads nowhere."""
