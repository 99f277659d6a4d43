"""The tables made: in a new database, and out of those of an older format."""

from peewee import SqliteDatabase

from mailgate.spool.indexes import INDEXES, OPEN
from mailgate.spool.tables import TABLES, VERSION


def create(database: SqliteDatabase) -> None:
    """Make every table and index in a new, empty database, within the caller's transaction."""
    with database.bind_ctx(TABLES):
        database.create_tables(TABLES, safe=False)
        for statement in INDEXES:
            database.execute_sql(statement)
        database.execute_sql(f"PRAGMA user_version = {VERSION}")


def upgrade(database: SqliteDatabase) -> None:
    """Make of a database of an older format what `create` makes, within the caller's transaction.

    Every table is made anew and takes over the old one's columns, so that constraints that have
    changed hold from now on; what is new has its default, or follows from what there is.
    """
    kept = _names(
        database, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
    )
    columns = {table: _columns(database, table) for table in kept}
    for index in _names(
        database, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
    ):
        database.execute_sql(f'DROP INDEX "{index}"')
    for table in kept:
        database.execute_sql(f'ALTER TABLE "{table}" RENAME TO "old_{table}"')
    create(database)
    for table, old in columns.items():
        new = _columns(database, table)
        names = ", ".join(f'"{name}"' for name in old if name in new)
        database.execute_sql(f'INSERT INTO "{table}" ({names}) SELECT {names} FROM "old_{table}"')
        database.execute_sql(f'DROP TABLE "old_{table}"')
    database.execute_sql(
        f"UPDATE job SET given = 1 WHERE id IN (SELECT job FROM attempt WHERE {OPEN})"
    )


def _columns(database: SqliteDatabase, table: str) -> list[str]:
    return _names(database, f"SELECT name FROM pragma_table_info('{table}')")


def _names(database: SqliteDatabase, question: str) -> list[str]:
    return [row[0] for row in database.execute_sql(question)]
