"""A headless Chromium driven over a pipe (the DevTools protocol), for tests that look at a page as a reader does."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

# Elements that scroll may hold more than they show; nothing else may, and nothing may make the page scroll sideways.
CLIPPED = """[...document.querySelectorAll('html, body, body *')].filter(element => {
    const style = getComputedStyle(element);
    const scrolls = ['auto', 'scroll'].includes(style.overflowX);
    return !scrolls && style.display !== 'inline' && element.scrollWidth > element.clientWidth + 1;
}).map(element => `${element.tagName} ${element.className}: ${element.textContent.slice(0, 60)}`)"""

MISSING = "[...document.images].filter(image => !image.naturalWidth).map(image => image.alt)"


class Page:
    """One open page.

    Attributes:
        complaints: Script errors, whatever the console was told, and requests that left the page.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self.complaints: list[str] = []
        self._browser, self._session = browser, session

    def open(self, file: Path, width: int, *, dark: bool = False) -> None:
        """Load a file as a window of so many pixels shows it."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        self.ask("Page.navigate", url=file.as_uri())
        self._browser.read_until(lambda message: message.get("method") == "Page.loadEventFired", self._note)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """Save a picture of the whole page."""
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(picture["data"]))

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        return self._browser.ask(method, parameters, self._session, self._note)

    def _note(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.complaints.append(json.dumps(message["params"]))
            case "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith(("file:", "data:")):
                    self.complaints.append(f"asked the network for {url}")


class Browser:
    """A running browser, its commands and answers."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._number, self._unread = 0, b""

    def new_page(self) -> Page:
        """Open an empty page."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        return Page(self, session)

    def ask(self, method: str, parameters: dict[str, Any], session: str | None = None, note: Any = None) -> Any:
        self._number += 1
        number = self._number
        command = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        answer = self.read_until(lambda message: message.get("id") == number, note)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def read_until(self, wanted: Any, note: Any = None) -> dict[str, Any]:
        while True:
            while b"\0" not in self._unread:
                chunk = os.read(self._answers, 1 << 20)
                assert chunk, "the browser has ended"
                self._unread += chunk
            text, self._unread = self._unread.split(b"\0", 1)
            message: dict[str, Any] = json.loads(text)
            if wanted(message):
                return message
            if note is not None:
                note(message)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start the browser that this machine has, and end it.

    Args:
        profile: A folder for its files.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "no Chromium here: run slurm/install-debian chromium-headless-shell"
    read_commands, commands = os.pipe()
    answers, write_answers = os.pipe()
    # It reads commands from descriptor 3 and writes answers to 4; high numbers keep the two from being in the way.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 100) for end in (read_commands, write_answers)]
    process = subprocess.Popen(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}",
         "--remote-debugging-pipe", "about:blank"],
        preexec_fn=lambda: [os.dup2(theirs[0], 3), os.dup2(theirs[1], 4)], pass_fds=(3, 4),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for end in (read_commands, write_answers, *theirs):
        os.close(end)
    try:
        yield Browser(commands, answers)
    finally:
        os.close(commands)
        os.close(answers)
        process.kill()
        process.wait()
