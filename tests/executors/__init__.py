"""Executors: processes of this host, and a Dask cluster."""
