"""The results database: its tables, schema version, the ingest of journals, and every named read and write.

Others use ``store`` (an open database), ``schema`` (create, upgrade, check), ``collect`` (journals → database),
``selection`` (the runs that a user names) and ``models`` (the tables). Works alike on SQLite and Postgres.
"""
