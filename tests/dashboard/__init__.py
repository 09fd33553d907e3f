"""Lists, acts and orders of the dashboard against the databases, without a web server."""
