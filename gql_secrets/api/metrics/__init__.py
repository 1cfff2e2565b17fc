"""`/metrics`: what Prometheus reads, on a listener of its own."""
