"""The admin API and the metrics: health, readiness, status, orders and events, on addresses of their own."""
