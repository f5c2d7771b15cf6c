"""The laws: where training collapses, when, and with which exponents. Pure functions of frames, without a database.

Others use ``evidence`` (runs → evidence), ``fit`` (evidence → laws), ``detectors`` (fits under every definition of
collapse), ``advice``, ``collapse``, ``early_warnings``, and ``result`` with what a fit returns.
"""
