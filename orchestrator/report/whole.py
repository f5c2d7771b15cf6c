"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, content: bytes) -> Path:
    """Write beside a path, then put it there; return the path."""
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(content)
    return aside.replace(path)
