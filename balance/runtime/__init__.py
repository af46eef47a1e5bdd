"""Live objects without sockets or clocks: Backend, Pool, Lease, Snapshot, and the layout of the board's counters."""
