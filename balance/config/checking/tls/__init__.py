"""What is wrong with `tls`, towards clients and backends, and what will be regretted."""
