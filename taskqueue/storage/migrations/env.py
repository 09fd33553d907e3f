"""Run by Alembic: executes the migrations on the connection that it was given."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=attributes["metadata"],
    version_table=attributes["version_table"],
    version_table_schema=attributes["schema"],
)
with context.begin_transaction():
    context.run_migrations()
