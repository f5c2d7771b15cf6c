"""The webhook: told once when a sweep has ended, by whoever ends it; never shown; never in the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from orchestrator.attempt import notice
from orchestrator.base import webhook
from orchestrator.base.errors import StoreUnavailable, UsageError
from orchestrator.base.urls import handed_over
from orchestrator.cli.app import app
from orchestrator.store import notices, registration, submissions
from orchestrator.store.database import Store
from orchestrator.store.models import Base
from tests.support import children
from tests.support.jobs import Jobs
from tests.support.webhooks import SECRET, Receiver, receiver

pytestmark = pytest.mark.services


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Receiver]:
    monkeypatch.delenv("STALESWEEP_WEBHOOK_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(notice, "_PAUSE_S", 0.01)
    monkeypatch.setattr(notice, "TIMEOUT_S", 1.0)
    with receiver() as found:
        monkeypatch.setenv("STALESWEEP_WEBHOOK", found.url)
        yield found


MakeJobs = Callable[..., Jobs]


def train(made: Jobs, *run_ids: int) -> None:
    directories = made.submit(*run_ids)
    children.run(lambda: made.train(*directories))


def told(count: int = 2, state: str = "collapsed") -> dict[str, object]:
    text = f"stalesweep: sweep demo has ended: {count} {state}"
    return {"text": text, "sweep": "demo", "states": {state: count}}


def test_the_job_that_ends_the_last_run_tells(jobs: MakeJobs, hook: Receiver) -> None:
    made = jobs(2)
    train(made, 1)
    assert hook.contacts == 0
    train(made, 2)
    assert hook.messages == [told()]
    for _ in range(2):
        assert CliRunner().invoke(app, ["status"]).exit_code == 0
    assert hook.contacts == 1


def test_of_many_jobs_that_end_at_once_one_tells(jobs: MakeJobs, hook: Receiver) -> None:
    made = jobs(8)
    directories = made.submit(*range(1, 9))
    for child in [children.start(lambda one=one: made.train(one)) for one in directories]:  # type: ignore[misc]
        assert children.end(child) == 0
    assert hook.messages == [told(8)]
    assert hook.contacts == 1


@pytest.mark.parametrize("command", ["status", "collect", "cancel"])
def test_who_brings_the_last_journal_tells(jobs: MakeJobs, hook: Receiver, command: str) -> None:
    made = jobs(2, writes="journal")
    train(made, 1, 2)
    assert hook.contacts == 0, "a job without a database does not know"
    if command == "cancel":
        with Store(made.url) as store:
            submissions.set_pending(store, [2])  # nothing to do with its journal, which ends it first
        assert CliRunner().invoke(app, ["cancel", "demo"]).exit_code == 3
        command = "status"
    assert CliRunner().invoke(app, [command]).exit_code == 0
    assert hook.messages == [told()]


def test_a_cancelled_sweep_has_ended(jobs: MakeJobs, hook: Receiver) -> None:
    jobs(2).submit(1, 2)
    assert CliRunner().invoke(app, ["cancel", "demo"]).exit_code == 0
    assert hook.messages == [told(2, "cancelled")]


def test_a_sweep_that_is_launched_again_ends_again(jobs: MakeJobs, hook: Receiver) -> None:
    made = jobs(2)
    made.submit(1, 2)
    CliRunner().invoke(app, ["cancel", "demo"])
    train(made, 1, 2)
    assert [message["states"] for message in hook.messages] == [{"cancelled": 2}, {"collapsed": 2}]


def test_a_search_ends_when_it_says_so(jobs: MakeJobs, hook: Receiver) -> None:
    made = jobs(2)
    with Store(made.url) as store:
        registration.begin(store, made.sweep)
        train(made, 1, 2)  # all runs that it has chosen so far
        assert CliRunner().invoke(app, ["status"]).exit_code == 0
        assert hook.contacts == 0
        notice.tell_end(store, "demo", searched=True)
    assert hook.messages == [told()]


def test_a_search_that_was_launched_as_a_grid_ends_with_its_runs(jobs: MakeJobs, hook: Receiver) -> None:
    made = jobs(2)
    with Store(made.url) as store:
        registration.begin(store, replace(made.sweep, text="search: {}\n" + made.sweep.text))
        registration.register(store, made.sweep)
    train(made, 1, 2)
    assert hook.messages == [told()]


def test_a_sweep_that_goes_on_has_not_ended(jobs: MakeJobs, hook: Receiver) -> None:
    made = jobs(2)
    for state in ("pending", "queued", "running"):
        with Store(made.url) as store, store.write() as connection:
            connection.execute(Base.metadata.tables["run"].update().values(state="stable"))
            connection.exec_driver_sql(f"UPDATE run SET state = '{state}' WHERE id = 2")
        with Store(made.url) as store:
            notice.tell_end(store, "demo")
    assert hook.contacts == 0


@pytest.mark.parametrize("answers", [[500, 0], [None, 302]], ids=["refused", "silent and elsewhere"])
def test_three_tries(jobs: MakeJobs, hook: Receiver, answers: list[int | None]) -> None:
    made = jobs()
    hook.answers = list(answers)
    made.submit(1)
    CliRunner().invoke(app, ["cancel", "demo"])
    assert (hook.messages, hook.contacts) == ([told(1, "cancelled")], 3)


UNTOLD = "the webhook could not be notified that sweep demo has ended: {}; `status` tries again"


@pytest.mark.parametrize(
    ("answers", "why", "waits"),
    [([404] * 3, "it answers 404", [0, 1, 2]), ([0] * 3, "BadStatusLine", [0, 1, 2]),
     ([None, 0, 503], "it answers 503", [0, 1, 2]), ([503, 0, None], "TimeoutError", [0, 1, 2]), ([503], None, [0, 1])],
)  # fmt: skip
def test_why_it_was_not_told(
    jobs: MakeJobs, hook: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    answers: list[int | None], why: str | None, waits: list[int],
) -> None:  # fmt: skip
    waited: list[float] = []
    monkeypatch.setattr(notice, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(notice, "_PAUSE_S", 3.0)
    monkeypatch.setattr(notice, "time", SimpleNamespace(sleep=waited.append))
    made = jobs(2)
    with Store(made.url) as store:
        with store.write() as connection:
            connection.execute(Base.metadata.tables["run"].update().values(state="cancelled"))
        hook.answers = list(answers)
        notice.tell_end(store, "demo")
    assert caplog.messages == ([UNTOLD.format(why)] if why else [])
    assert hook.messages == ([] if why else [told(2, "cancelled")])
    assert waited == [3.0 * number for number in waits], "longer each time"


def test_what_was_not_told_is_told_by_who_looks_next(
    jobs: MakeJobs, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    made = jobs()
    hook.answers = [503] * 3
    made.submit(1)
    done = CliRunner().invoke(app, ["cancel", "demo"])
    assert (done.exit_code, done.stdout) == (0, "cancelled 1 run\n")
    assert caplog.messages == [UNTOLD.format("it answers 503")]
    assert CliRunner().invoke(app, ["status"]).exit_code == 0
    assert hook.messages == [told(1, "cancelled")]


def test_nothing_fails_and_nothing_shows_it(
    jobs: MakeJobs, hook: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    made = jobs()
    made.submit(1)
    CliRunner().invoke(app, ["cancel", "demo"])
    mine = tmp_path / "url"
    mine.write_text(f"{hook.url}\nand more")
    for name, value, said in (
        ("STALESWEEP_WEBHOOK", f"http://127.0.0.1:1/{SECRET}", UNTOLD.format("Connection refused")),
        ("STALESWEEP_WEBHOOK", f"http://nowhere.invalid/{SECRET}", "the webhook could not be notified"),
        ("STALESWEEP_WEBHOOK", f"file:///{SECRET}", "the webhook's URL cannot be read; allowed: https://HOST/PATH"),
        ("STALESWEEP_WEBHOOK", f"http://[{SECRET}", "the webhook's URL cannot be read"),
        ("STALESWEEP_WEBHOOK", f"https://host/{SECRET} x", "the webhook's URL cannot be read"),
        ("STALESWEEP_WEBHOOK", f"http://127.0.0.1:x/{SECRET}", "the webhook"),
        ("STALESWEEP_WEBHOOK_FILE", str(mine), "must hold the webhook's URL on one line and nothing else"),
        ("STALESWEEP_WEBHOOK_FILE", str(tmp_path / "none"), "the webhook's URL cannot be read from"),
    ):
        caplog.clear()
        monkeypatch.delenv("STALESWEEP_WEBHOOK", raising=False)
        monkeypatch.setenv(name, value)
        with Store(made.url) as store:
            notices.unclaim(store, "demo")
            notice.tell_end(store, "demo")
        assert len(caplog.messages) == 1, (value, caplog.messages)
        assert said in caplog.text, value
        assert SECRET not in caplog.text


def test_a_database_that_is_away_is_left_alone(
    jobs: MakeJobs, hook: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone fishing")

    monkeypatch.setattr("orchestrator.store.notices.claim_end", away)
    with Store(jobs().url) as store:
        notice.tell_end(store, "demo")
    assert caplog.messages == ["the webhook could not be notified of sweep demo: gone fishing"]


def test_jobs_are_handed_a_file(hook: Receiver, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with handed_over(url):
        assert "STALESWEEP_WEBHOOK" not in os.environ
        file = Path(os.environ["STALESWEEP_WEBHOOK_FILE"])
        assert (file.stat().st_mode & 0o777, file.is_relative_to(tmp_path / "config")) == (0o600, True)
        assert SECRET not in str(file)
        assert webhook.chosen() == hook.url
    assert os.environ["STALESWEEP_WEBHOOK"] == hook.url
    assert "STALESWEEP_WEBHOOK_FILE" not in os.environ
    monkeypatch.delenv("STALESWEEP_WEBHOOK")
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("STALESWEEP_WEBHOOK_FILE", file.name)
    with handed_over(url):
        assert os.environ["STALESWEEP_WEBHOOK_FILE"] == str(file)
    assert os.environ["STALESWEEP_WEBHOOK_FILE"] == file.name


def test_a_home_that_cannot_be_written_stops_nothing(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with webhook.handed_over():
        assert "STALESWEEP_WEBHOOK" not in os.environ
        assert webhook.chosen() is None
    assert "jobs cannot notify the webhook" in caplog.text


def test_readers_of_its_file_are_warned_of(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = tmp_path / "url"
    mine.write_text(hook.url + "\n")
    mine.chmod(0o644)
    monkeypatch.delenv("STALESWEEP_WEBHOOK")
    monkeypatch.setenv("STALESWEEP_WEBHOOK_FILE", str(mine))
    assert webhook.chosen() == hook.url
    assert f"chmod 600 {mine}" in caplog.text
    monkeypatch.setenv("STALESWEEP_WEBHOOK", "ftp://host/x")
    with pytest.raises(UsageError, match="allowed: https"):
        webhook.chosen()
