"""The results database: its tables, schema version, the ingest of journals, and every named read and write.

Others use ``database`` (an open one, `Store`), ``schema`` (create, upgrade, check), ``collect`` (journals → database),
``models`` (the tables), and the modules of named reads and writes, such as ``queries``, ``registration``,
``submissions``, ``attempts`` and ``selection``. Works alike on SQLite and Postgres.
"""
