"""What every room needs and that knows no room: errors, settings, secrets in URLs and files, processes, provenance."""
