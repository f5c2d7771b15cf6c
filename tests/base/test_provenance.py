"""Provenance: code is known by its commit, and by how it differs from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from orchestrator.base.provenance import checkout, read_checkout


def git(folder: Path, *arguments: str, given: bytes | None = None) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout.decode().strip()


def test_the_commit_of_a_checkout_and_its_differences(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("one")
    assert read_checkout(package) is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "empty")
    assert read_checkout(package) is None, "the checkout does not track the package"
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "-q", "-m", "package")
    git(tmp_path, "tag", "-a", "-m", "tag", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD")
    clean = read_checkout(package)
    assert clean is not None
    assert (str(clean), clean.dirty, clean.diff) == (commit, False, b"")
    (package / "code.py").write_text("two")
    for setting in ("diff.noprefix true", "color.diff always", "diff.external false", "diff.relative true"):
        git(tmp_path, "config", *setting.split())
    changed = read_checkout(package)
    assert changed is not None
    assert (str(changed), changed.dirty) == (f"{commit}+dirty", True)
    git(tmp_path, "checkout", "-q", ".")
    git(tmp_path, "apply", given=changed.diff)
    assert (package / "code.py").read_text() == "two"


def test_the_packages_own_checkout_is_read_once() -> None:
    assert checkout() is checkout()
