"""Live objects, still without sockets or clocks: Backend, Pool, Lease, Snapshot, and where every number stands on the board."""
