"""What the queues cost, measured beside a bare driver loop: ``python -m benchmarks --help``."""
