"""The Prometheus metrics: the sums over all workers, what the kernel says of the processes, and the names they go by."""
