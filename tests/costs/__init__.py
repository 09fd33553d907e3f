"""What is asked of the database, counted by the database itself: a guard that knows no clock."""
