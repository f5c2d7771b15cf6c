"""The laws: where training collapses, when, and with which exponents. Pure functions of tidy frames."""
