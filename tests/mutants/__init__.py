"""The package damaged on purpose: each damage must be noticed by the project's own tests."""
