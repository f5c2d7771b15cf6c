"""Try deliberate faults: for each, copy the checkout, break one place, and run the tests that must find it.

    .venv/bin/python -m tests.deliberate_faults [WORDS...] [--processes 2]

WORDS choose the faults whose name or file holds one of them; default all. A fault is found where its tests fail;
one that survives ends the command with exit code 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.deliberate_faults import ROOT, Fault, load

TIMEOUT_S = 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    chosen = [one for one in load() if not options.words or any(word in one.name + one.file for word in options.words)]
    with ThreadPoolExecutor(options.processes) as pool:
        found = list(pool.map(_try, chosen))
    survivors = [fault for fault, is_found in zip(chosen, found, strict=True) if not is_found]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults found")
    sys.exit(1 if survivors else 0)


def _try(fault: Fault) -> bool:
    with tempfile.TemporaryDirectory(prefix="stalesweep-fault-", ignore_cleanup_errors=True) as folder:
        _copy(Path(folder))
        broken = Path(folder) / fault.file
        text = broken.read_text(encoding="utf-8")
        assert text.count(fault.old) == 1, f"{fault.name}: {fault.old!r} stands {text.count(fault.old)} times"
        broken.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *fault.tests]
        environment = {**os.environ, "PYTHONPATH": folder}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            print(f"found     {fault.name}: its tests do not end", flush=True)
            return True
    if done.returncode not in (0, 1):  # neither passed nor failed: the tests themselves could not run
        raise SystemExit(
            f"{fault.name}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    failed = next((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
    print(f"{'found    ' if done.returncode else 'SURVIVED '} {fault.name}  {failed}", flush=True)
    return done.returncode == 1


def _copy(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


if __name__ == "__main__":
    main()
