"""`tcp-bench` and `latency-test`: load on a TCP or HTTP server, and what it takes to be answered."""
