"""Rich's console for text from outside: names and failures are shown as they are, and steer no terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from orchestrator.base.safe_text import printable


class SafeConsole(Console):
    """A console that reads no markup in texts, and writes control characters in them as `printable` does.

    What rich itself sends to the terminal, styles and movements of the cursor, stays.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; every part of a table or group passes here."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
