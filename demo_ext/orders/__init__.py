"""Orders that are booked in the database and announced to a warehouse by HTTP, through an outbox."""
