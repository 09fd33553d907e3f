"""Tests of the client of operations."""
