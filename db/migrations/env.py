"""What Alembic runs: the migrations, on the connection that `db.migrate` hands over."""

from alembic import context

from db.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    on_version_apply=context.config.attributes["on_version_apply"],
)
context.run_migrations()
