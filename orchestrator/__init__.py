"""The sweep's control plane: grid, launch, store, status, laws. Never imports torch."""
