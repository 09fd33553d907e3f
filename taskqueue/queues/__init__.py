"""The contract of a queue, and its drivers."""
