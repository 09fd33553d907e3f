"""Everything that knows SQL: connections, dialects, tables, statements."""
