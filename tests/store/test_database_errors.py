"""What the databases' errors become: what may pass is `StoreUnavailable` and says what to do; our faults stay loud."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.base.errors import StoreError, StoreUnavailable
from orchestrator.store import failures, schema, session
from orchestrator.store.session import create_engine_for, describe, transaction
from tests.support.servers import PASSWORD, Server, own_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.services

CONNECTIONS = 6


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with own_server(
        max_connections=CONNECTIONS, superuser_reserved_connections=0, deadlock_timeout="50ms", lc_messages="C"
    ) as server:
        server.execute("CREATE TABLE noted (id INT PRIMARY KEY, n INT CHECK (n < 100))", "GRANT ALL ON noted TO me",
                       "INSERT INTO noted VALUES (1, 0), (2, 0)")  # fmt: skip
        yield server


@pytest.fixture
def engine(server: Server) -> Iterator[Engine]:
    engine = create_engine_for(server.url(password=PASSWORD))
    yield engine
    engine.dispose()
    if not server.running:
        server.start()
    server.execute("ALTER ROLE me RESET ALL", "ALTER ROLE me CONNECTION LIMIT -1", "GRANT ALL ON noted TO me")


def write(engine: Engine, statement: str = "UPDATE noted SET n = n + 1 WHERE id = 1") -> None:
    with transaction(engine, write=True) as connection:
        connection.exec_driver_sql(statement)


def unavailable(engine: Engine, message: str, statement: str = "UPDATE noted SET n = n + 1 WHERE id = 1") -> None:
    """A write fails in a way that may pass, says so, names the database, and no password."""
    with pytest.raises(StoreUnavailable, match=message) as caught:
        write(engine, statement)
    assert str(caught.value).startswith("Postgres database 'postgres' at me@/")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# Postgres: connecting


def test_the_connection_limit(server: Server, engine: Engine) -> None:
    limit = r"the server is at its connection limit \(max_connections\): .*"
    with ExitStack() as held:
        for _ in range(CONNECTIONS):
            held.enter_context(psycopg.connect(server.url("postgres")))
        unavailable(engine, limit + "too many clients")
    wait_for(lambda: is_free(server), "the server to notice that connections were closed")
    server.execute("ALTER ROLE me CONNECTION LIMIT 0")
    unavailable(engine, limit + 'too many connections for role "me"')
    server.execute("ALTER ROLE me CONNECTION LIMIT -1")
    write(engine)


def is_free(server: Server) -> bool:
    try:
        server.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_a_server_that_shuts_down_is_away_and_comes_back(server: Server, engine: Engine) -> None:
    write(engine)
    held = psycopg.connect(server.url("postgres"))
    server.stop("smart", wait=False)
    engine.dispose()
    unavailable(engine, "the server is starting up or shutting down: try again .*shutting down")
    server.stop()
    held.close()
    unavailable(engine, "the server cannot be reached: is it running.* No such file")
    server.start()
    write(engine)
    server.stop()  # with an idle connection in the pool
    unavailable(engine, "the server (cannot be reached|is starting up or shutting down)")
    server.start()
    write(engine)


def test_a_connection_that_is_dropped_in_the_midst_of_a_transaction(server: Server, engine: Engine) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'me'"
    with (
        pytest.raises(StoreUnavailable, match="the server is starting up or shutting down"),
        transaction(engine, write=True) as connection,
    ):
        connection.exec_driver_sql("UPDATE noted SET n = 50")
        server.execute(kill)
    write(engine)
    with transaction(engine, write=False) as connection:
        assert connection.exec_driver_sql("SELECT max(n) FROM noted").scalar_one() < 50


def test_a_refused_password_user_and_database(server: Server) -> None:
    refused = "the server refuses this user or password: check .* password authentication failed"
    for url in (server.url(password="not hunter2"), server.url("nobody", PASSWORD)):
        with pytest.raises(StoreUnavailable, match=refused) as caught:
            schema.check(url)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(StoreUnavailable, match=r"~/.pgpass .* no password supplied"):
        schema.check(server.url())
    with pytest.raises(StoreUnavailable, match=r'createdb, or name another one .*"nowhere" does not exist'):
        schema.check(server.url(password=PASSWORD, database="nowhere"))


def test_a_server_that_is_not_there() -> None:
    message = r"Postgres database 'db' at me@127.0.0.1:1: the server cannot be reached.*[Cc]onnection refused"
    for secret in ("postgresql://me:hunter2@127.0.0.1:1/db", "postgres://me@127.0.0.1:1/db?password=hunter2"):
        with pytest.raises(StoreUnavailable, match=message) as caught:
            schema.check(secret)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
        assert "hunter2" not in describe(create_engine_for(secret).url)
    with pytest.raises(StoreUnavailable, match="the server's name is not known here: check the host in the URL"):
        schema.check("postgresql://me@nowhere.invalid/db")


# Postgres: writing


def test_a_server_that_takes_no_writes(server: Server, engine: Engine) -> None:
    server.execute("ALTER ROLE me SET default_transaction_read_only = on")
    unavailable(engine, r"the server takes no writes \(a standby, or .*\(cannot execute UPDATE in a read-only")


def test_a_right_that_was_taken_away(server: Server, engine: Engine) -> None:
    server.execute("REVOKE UPDATE ON noted FROM me")
    unavailable(engine, r"lacks a right there: .*\(GRANT .*permission denied for table noted")


def test_time_limits(server: Server, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOCK_S", 0.05)
    with psycopg.connect(server.url("postgres")) as other:
        other.execute("UPDATE noted SET n = 1")
        unavailable(engine, "another transaction holds a lock for too long .*lock timeout")
    server.execute("ALTER ROLE me SET statement_timeout = '50ms'")
    engine.dispose()
    unavailable(engine, "cancelled a statement that took too long", "SELECT pg_sleep(5)")


def test_of_two_transactions_in_each_others_way_one_may_try_again(server: Server, engine: Engine) -> None:
    def other_way() -> None:
        with psycopg.connect(server.url("postgres")) as other:
            other.execute("SET deadlock_timeout = '10s'")  # so that the server chooses ours to fail
            other.execute("UPDATE noted SET n = 3 WHERE id = 2")
            first.set()
            second.wait(10)
            other.execute("UPDATE noted SET n = 3 WHERE id = 1")

    first, second = threading.Event(), threading.Event()
    thread = threading.Thread(target=other_way)
    thread.start()
    first.wait(10)
    with (
        pytest.raises(StoreUnavailable, match=r"another transaction was in the way: try again .*deadlock"),
        transaction(engine, write=True) as connection,
    ):
        connection.exec_driver_sql("UPDATE noted SET n = 4 WHERE id = 1")
        second.set()
        connection.exec_driver_sql("UPDATE noted SET n = 4 WHERE id = 2")
    thread.join()
    server.execute("ALTER ROLE me SET default_transaction_isolation = 'serializable'")
    engine.dispose()
    with (
        pytest.raises(StoreUnavailable, match=r"another transaction was in the way: try again .*serialize"),
        transaction(engine, write=True) as connection,
    ):
        connection.exec_driver_sql("SELECT * FROM noted")
        server.execute("UPDATE noted SET n = 5")
        connection.exec_driver_sql("UPDATE noted SET n = 6")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("53100", "the disk of the server is full: make room there"),
        ("53200", "the server is out of memory"),
        ("53300", "the server is at its connection limit"),
        ("53400", "the server is short of something"),
        ("58030", "the disk of the server fails"),
        ("57P03", "the server is starting up or shutting down"),
        ("08P01", "the connection to the server was lost"),  # PgBouncer's
        ("25P03", "stood still for too long"),
        ("XX001", "the server reports damaged data"),
    ],
)
def test_what_a_server_says_that_is_in_trouble(state: str, message: str, engine: Engine) -> None:
    """The server says it here because it is told to: its disk does not fill up for a test."""
    unavailable(engine, message, f"DO $$ BEGIN RAISE EXCEPTION 'as told' USING ERRCODE = '{state}'; END $$")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO noted VALUES (1, 0)",
        "UPDATE noted SET n = 1000",
        "UPDATE nothing SET n = 1",
        "UPDATE",
        "SELECT 1/0",
    ],
)
def test_our_own_faults_are_not_taken_for_an_outage(statement: str, engine: Engine) -> None:
    with pytest.raises(StoreError, match="Postgres database 'postgres' at me@") as caught:
        write(engine, statement)
    assert type(caught.value) is StoreError


# URLs and drivers


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:////data/sweeps.db", "SQLite file /data/sweeps.db"),
        ("postgresql://me:secret@db:6543/sweeps?sslpassword=x", "Postgres database 'sweeps' at me@db:6543"),
        ("postgresql:///sweeps?host=/run/pg", "Postgres database 'sweeps' at /run/pg"),
        ("postgresql:///sweeps", "Postgres database 'sweeps' at local socket"),
        ("postgresql:///?service=lab", "Postgres service 'lab'"),
        ("postgresql://db/sweeps?service=lab", "Postgres database 'sweeps' at db"),
    ],
)
def test_messages_name_a_database_without_its_secrets(url: str, words: str) -> None:
    assert describe(make_url(url)) == words


def test_unusable_urls() -> None:
    for bad, message in {
        "mysql://root@localhost/db": "no database of kind 'mysql'; allowed: sqlite:///FILE",
        "results.db": "cannot be read; allowed: sqlite:///FILE, postgresql://USER@HOST/NAME",
        "sqlite://": "must be a file",
        "sqlite:///:memory:": "must be a file",
        "postgresql://me:hunter2@host:port/db": "cannot be read",
    }.items():
        with pytest.raises(StoreError, match=message) as caught:
            create_engine_for(bad)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_missing_driver_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from orchestrator.store.session import create_engine_for\n"
        "create_engine_for('postgresql://localhost/db')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "StoreError: Postgres needs its driver: pip install 'stalesweep[postgres]'" in done.stderr


def test_an_error_without_a_state_is_read_by_its_words() -> None:
    for words, advice in (
        ("FATAL: sorry, too many clients already", "the server is at its connection limit"),
        ("the database system is in recovery mode", "the server is starting up or shutting down"),
        ("fe_sendauth: no password supplied", "the server refuses this user or password"),
        ("could not translate host name", "the server's name is not known here"),
        ("connection timeout expired", "the server does not answer"),
        ("connection refused", "the server cannot be reached"),
        ("some words\nin another language", "the connection to the server was lost"),
    ):
        kind, message = failures.meaning(OperationalError("SELECT 1", {}, Exception(words)))
        assert kind is StoreUnavailable
        assert message.startswith(advice)
        assert message.endswith(f"({' '.join(words.split())})")
    assert failures.meaning(IntegrityError("INSERT", {}, Exception("twice"))) == (StoreError, "twice")
    assert failures.meaning(sqlite3.ProgrammingError("of the driver")) == (StoreError, "of the driver")
    slow = "this process waits too long for its own connection: the database is slow"
    assert failures.meaning(PoolTimeout("QueuePool limit reached")) == (StoreUnavailable, slow)
