"""What people read: tables of the phase diagram and of the laws, figures, the page, progress in a terminal.

Others use ``fitting`` (stored runs → laws), ``tables``, ``figures``, ``page``, ``progress``, ``answers``
and ``run_page``.
"""
