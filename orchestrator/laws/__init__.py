"""The laws: where training collapses, when, and with which exponents. Pure functions of frames; no database.

Others use ``cells`` (runs → evidence), ``fit`` (evidence → laws), ``advice``, ``collapse`` (detectors at fit time),
``detectors`` (their comparison), ``early`` and ``regimes`` (early warnings), and ``result`` with what a fit returns.
"""
