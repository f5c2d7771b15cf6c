"""The results database: its tables, schema version, the ingest of journals, and every named read and write.

Others use ``database`` (an open one, `Store`), the named reads and writes (``queries``, ``registration``,
``submissions``, ``attempts``, ``endings``, ``removal``, ``outcomes``, ``fits``; see ``transactions``), ``schema`` (create, upgrade, check), ``collect`` (journals → database),
``selection`` (the runs that a user names) and ``models`` (the tables). Works alike on SQLite and Postgres.
"""
