"""Runs: one processing of a queue to its end, kept in the database so that anybody permitted can carry it on."""
