"""Import: runs trained elsewhere, read from files, checked as a whole, and stored as a sweep that `fit-laws` reads.

Others use ``read.read_import``, told by ``columns.Options`` how to read, and ``stored.store_import``.
"""
