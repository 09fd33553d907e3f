"""Tests of the client of operations, and of the page of the demonstration that calls them."""
