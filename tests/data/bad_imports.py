"""Files to import with mistakes: name, file, and what must be said, each with the row that people see."""

from __future__ import annotations

RUNS = "model,k,eta,seed,horizon,collapse_step\n"
GOOD = "m,2,1e-3,0,480,96\n"
SYNCS = "model,k,eta,seed,horizon,sync,reward\n"


def run(**fields: object) -> str:
    """A good run in row 2 with some fields replaced or added."""
    values = {"model": "m", "k": "2", "eta": "1e-3", "seed": "0", "horizon": "480", "collapse_step": "96"} | fields
    return ",".join(values) + "\n" + ",".join(f'"{value}"' for value in values.values()) + "\n"


def syncs(*rows: str) -> str:
    """Weight syncs of one run from row 2 on: sync and reward of each."""
    return SYNCS + "".join(f"m,2,1e-3,0,480,{row}\n" for row in rows)


BAD: dict[str, tuple[str | bytes, str]] = {
    # one row per run
    "k of 0": (run(k=0), "row 2: k should be greater than or equal to 1"),
    "k of 2.5": (run(k=2.5), "row 2: k should be a valid integer, unable to parse string as an integer (found '2.5')"),
    "k as a word": (run(k="two"), "row 2: k should be a valid integer"),
    "k missing": (run(k=""), "row 2: k not given: neither in the file nor with --set k=... or --runs"),
    "k beyond 64 bits": (run(k=10**19), "row 2: k should be less than or equal to 1048576"),
    "eta of 0": (run(eta=0), "row 2: eta should be greater than 0 (found '0')"),
    "eta below 0": (run(eta=-1e-3), "row 2: eta should be greater than 0 (found '-0.001')"),
    "eta NaN": (run(eta="NaN"), "row 2: eta should be a finite number (found 'NaN')"),
    "eta infinite": (run(eta="inf"), "row 2: eta should be a finite number"),
    "eta with a comma": (run(eta="1,5"), "row 2: eta should be a valid number"),
    "eta that overflows": (run(eta="1e999"), "row 2: eta should be a finite number"),
    "eta beyond all use": (run(eta="1e308"), "row 2: eta should lie between 1e-30 and 1e+30 (found '1e308')"),
    "eta next to 0": (run(eta="5e-324"), "row 2: eta should lie between 1e-30 and 1e+30 (found '5e-324')"),
    "eta in hexadecimal": (run(eta="0x1p-3"), "row 2: eta should be a valid number"),
    "seed below 0": (run(seed=-1), "row 2: seed should be greater than or equal to 0"),
    "horizon of 0": (run(horizon=0, collapse_step=""), "row 2: horizon should be greater than or equal to 1"),
    "collapse beyond the horizon": (
        run(collapse_step=481), "row 2: collapse_step must lie in 1 to the horizon 480 (found 481)",
    ),
    "collapse at 0": (run(collapse_step=0), "row 2: collapse_step should be greater than or equal to 1"),
    "collapse below 0": (run(collapse_step=-8), "row 2: collapse_step should be greater than or equal to 1"),
    "collapse between steps": (run(collapse_step=96.5), "row 2: collapse_step should be a valid integer"),
    "collapse as NA": (run(collapse_step="NA"), "row 2: collapse_step should be a valid integer"),
    "last step alive after it": (
        run(collapse_step_lo=96),
        "row 2: collapse_step_lo must lie in 0 to 95 (found 96)",
    ),
    "last step alive without it": (
        run(collapse_step="", collapse_step_lo=8), "row 2: collapse_step_lo is 8, but there is no collapse_step",
    ),
    "collapse sync without it": (
        run(collapse_step="", collapse_sync=8), "row 2: collapse_sync is 8, but there is no collapse_step",
    ),
    "collapse sync below 0": (run(collapse_sync=-1), "row 2: collapse_sync should be greater than or equal to 0"),
    "stable but collapsed": (run(state="stable"), "row 2: state is stable, but collapse_step is 96"),
    "collapsed but when": (
        run(state="collapsed", collapse_step=""), "row 2: state is collapsed, but collapse_step is missing",
    ),
    "unknown state": (run(state="fine", collapse_step=""), "row 2: state should be 'pending', 'queued'"),
    "more steps than the horizon": (run(learner_steps=481), "row 2: learner_steps must lie in 0 to the horizon 480"),
    "time below 0": (run(wall_s=-1), "row 2: wall_s should be greater than or equal to 0"),
    "half a GPU": (run(wall_s=10, gpu_s=5), "row 2: gpu_s must be a whole number of GPUs times wall_s"),
    "axes that are no JSON": (run(axes="clip"), "row 2: axes must be a JSON object"),
    "axes as a list": (run(axes="[1]"), "row 2: axes must be a JSON object"),
    "axes with NaN": (run(axes='{""a"": NaN}'), "row 2: axes must be a JSON object of finite values"),
    "axes too deep": (run(axes='{""a"":' + "[" * 5000 + "]" * 5000 + "}"), "row 2: axes must be a JSON object"),
    "axes with half a character": (run(axes=r'{""a"": ""\ud800""}'), "row 2: axes should have printable characters"),
    "centuries of training": (run(wall_s=1e300), "row 2: wall_s should be less than or equal to 1000000000"),
    "a sync beyond counting": (syncs(f"{2**62},1"), "row 2: sync must be at most 1,099,511,627,776"),
    "an axis twice": (run(axes='{""a"": 1}', a=2), "row 2: a stands in axes as 1 and beside it as 2"),
    "model missing": (run(model=""), "row 2: model not given"),
    "the same run twice": (
        RUNS + GOOD + "m,2,0.001,0,480,\n",
        "row 3: is a second run with model m, k 2, eta 0.001, seed 0 (first: row 2); runs of a cell differ in seed",
    ),
    "no rows": (RUNS, "has no rows"),
    # one row per weight sync
    "sync twice": (syncs("0,1", "0,1"), "row 3: sync 0 of this run stands in row 2 already"),
    "sync below 0": (syncs("-1,1"), "row 2: sync must be a whole number of at least 0 (found -1)"),
    "sync missing": (syncs("0,1", ",1"), "row 3: sync must be a whole number of at least 0 (found None)"),
    "sync of 1.5": (syncs("1.5,1"), "row 2: sync should be a valid integer"),
    "reward as a word": (syncs("0,1", "1,good"), "row 3: reward should be a valid number"),
    "sync beyond the horizon": (
        syncs("0,1", "241,1"), "row 2: has a weight sync at learner step 482, beyond its horizon 480",
    ),
    "steps that do not rise": (
        "model,k,eta,seed,sync,learner_step,reward\nm,2,1,0,0,0,1\nm,2,1,0,1,8,1\nm,2,1,0,2,8,1\n",
        "row 4: sync 2 is at learner step 8, sync 1 before it (row 3) at 8; steps must rise",
    ),
    "learner step below 0": (
        "model,k,eta,seed,sync,learner_step,reward\nm,2,1,0,0,-1,1\n", "row 2: learner_step must be a whole number",
    ),
    "horizon of syncs 0": (SYNCS + "m,2,1,0,0,0,1\n", "row 2: horizon should be greater than or equal to 1"),
    "two horizons of one run": (
        SYNCS + "m,2,1,0,480,0,1\nm,2,1,0,320,1,1\n", "row 3: says horizon '320', but row 2 of the same run says '480'",
    ),
    "two k of a named run": (
        "run,model,k,eta,seed,sync,reward\na,m,2,1,0,0,1\na,m,4,1,0,1,1\n",
        "row 3: says k '4', but run 'a' of the same run says '2'",
    ),
    "two names of one run": (
        "run,model,k,eta,seed,sync,reward\na,m,2,1,0,0,1\nb,m,2,1,0,0,1\n",
        "run 'b': is a second run with model m, k 2, eta 1, seed 0 (first: run 'a')",
    ),
    "no reward": (
        "model,k,eta,seed,sync,entropy\nm,2,1,0,0,1\n", "row 2: has no training reward to find a collapse by",
    ),
    "no rows of syncs": (SYNCS, "has no rows"),
    # logs
    "step below 0": ("_step,reward\n-1,1\n", "row 2: _step beside reward must be a whole number"),
    "step missing": ("_step,reward\n,1\n", "row 2: _step beside reward must be a whole number"),
    # what is no table
    "empty": (b"", "row 1: the file is empty; its first row must name the columns"),
    "semicolons": ("model;k;eta\n", "is none of the forms that can be imported"),
    "column twice": ("model,k,k\n", "row 1: names columns twice: k"),
    "a field too many": (RUNS + "m,2,1e-3,0,480,96,\n", "row 2: has 7 fields, but the header names 6"),
    "a field too few": (RUNS + GOOD + "\nm,2,1e-3,1,480\n", "row 4: has 5 fields, but the header names 6"),
    "Latin-1": (RUNS.encode() + b"\xe9,2,1e-3,0,480,\n", "'utf-8' codec can't decode byte 0xe9"),
    "an open quote": (RUNS + GOOD + '"m,2\n', "row 3: has 1 fields, but the header names 6"),
    "none of the forms": ("a,b\n1,2\n", "is none of the forms that can be imported"),
}  # fmt: skip

BAD_JSON_LINES: dict[str, tuple[str, str]] = {
    "too deep": ('{"_step": 1, "reward": ' + "[" * 100_000 + "\n", "row 1: Invalid JSON: recursion limit exceeded"),
    "half a character": (r'{"_step": 1, "reward": "\ud800"}' + "\n", "row 1: Invalid JSON"),
    "no JSON": ('{"_step": 1}\n{"_step"\n', "row 2: Invalid JSON"),
    "a list": ("[1]\n", "row 1: Input should be an object (found '[1]')"),
    "a word": ('{"_step": 1, "reward": "high"}\n', "row 1: reward should be a valid number"),
    "an object": ('{"_step": 1, "reward": {"mean": 1}}\n', "row 1: reward should be a valid number"),
    "true": ('{"_step": 1, "reward": true}\n', "row 1: reward should be a valid number"),
}
