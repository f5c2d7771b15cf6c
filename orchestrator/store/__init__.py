"""The results database: tables, transactions, schema version, and every named read and write."""
