"""Grid files with one mistake each: name, file, the mistake's line, and a part of its message."""

from __future__ import annotations

GOOD = """\
name: small
grid:
  model: [tiny]
  k: [2, 8]
  eta: [1e-4, 0.002]
  seed: [0]
"""
GRID = GOOD.partition("\n")[2]


def axis(line: str) -> str:
    """The good file with a further axis, or with one of its own replaced, in line 7."""
    name = line.partition(":")[0]
    return "".join(row if row.split(":")[0].strip() != name else "#\n" for row in GOOD.splitlines(True)) + f"  {line}\n"


BAD: dict[str, tuple[str | bytes, int, str]] = {
    # axes
    "k of 0": (
        axis("k: [2, 0]"), 7,
        "grid.k[1]: cannot be used (found 0; allowed: a whole number, at least 1)",
    ),
    "k of true": (axis("k: [true]"), 7, "found true"),
    "k of 2.5": (axis("k: [2.5]"), 7, "found 2.5; allowed: a whole number"),
    "k as text": (axis('k: ["4"]'), 7, "found '4'; allowed: a whole number"),
    "k beyond 64 bits": (axis("k: [99999999999999999999]"), 7, "must fit in 64 bits"),
    "eta negative": (axis("eta: [-1e-3]"), 7, "found -0.001; allowed: a finite number, above 0"),
    "eta zero": (axis("eta: [0.0]"), 7, "above 0"),
    "eta NaN": (axis("eta: [.nan]"), 7, "found nan; allowed: a finite number"),
    "eta infinite": (axis("eta: [.inf]"), 7, "found inf; allowed: a finite number"),
    "eta overflows": (axis("eta: [1e999]"), 7, "found inf; allowed: a finite number"),
    "eta as text": (axis('eta: ["1e-3"]'), 7, "found '1e-3'; allowed: a finite number"),
    "eta true": (axis("eta: [true]"), 7, "found true; allowed: a finite number"),
    "eta null": (axis("eta: [null]"), 7, "found null"),
    "seed negative": (
        axis("seed: [-1]"), 7,
        "grid.seed[0]: cannot be used (found -1; allowed: a whole number, at least 0)",
    ),
    "value twice": (
        axis("eta: [1e-3, 2e-3, 0.001]"), 7,
        "grid.eta[2]: stands in the axis twice (found 0.001, first as grid.eta[0])",
    ),
    "empty axis": (axis("k: []"), 7, "grid.k: an axis needs at least one value"),
    "axis without a list": (
        axis("k: 4"), 7,
        "grid.k: not the values of an axis (found 4; allowed: a list as in [1, 2]",
    ),
    "axis of an unknown form": (axis("eta: {linspace: {}}"), 7, "allowed: a list as in [1, 2], {logspace:"),
    "list in an axis": (axis("k: [[2]]"), 7, "grid.k[0]: cannot be used (found [2]"),
    "logspace from an exponent": (
        axis("eta: {logspace: {start: -4, stop: 1, num: 3}}"), 7,
        "grid.eta.logspace.start",
    ),
    "logspace without num": (
        axis("eta: {logspace: {start: 1e-4, stop: 1}}"), 7,
        "grid.eta.logspace.num: is missing",
    ),
    "logspace with base": (
        axis("eta: {logspace: {start: 1, stop: 2, num: 3, base: 2}}"), 7,
        "allowed: start, stop, num",
    ),
    "logspace of one value": (
        axis("eta: {logspace: {start: 1e-3, stop: 1e-3, num: 3}}"), 7,
        "twice (found 0.001",
    ),
    "logspace of k": (axis("k: {logspace: {start: 2, stop: 8, num: 3}}"), 7, "allowed: a whole number"),
    "range upside down": (axis("seed: {range: {start: 3, stop: 1}}"), 7, "grid.seed.range: holds no value"),
    "range of step 0": (axis("seed: {range: {start: 0, stop: 1, step: 0}}"), 7, "grid.seed.range.step"),
    "unknown worker field": (
        axis("clip_ep: [1]"), 7,
        "grid.clip_ep: no such worker field (did you mean 'clip_eps'?)",
    ),
    "field without its section": (axis("beta1: [0.5]"), 7, "did you mean 'optimizer.beta1'?"),
    "unlike any field": (axis("qqqq: [1]"), 7, "no such worker field (allowed: k, eta, seed, horizon"),
    "section as an axis": (
        axis("optimizer: [1]"), 7,
        "is a group of fields; name one of them (allowed: optimizer.name",
    ),
    "model field as an axis": (axis("model.dtype: [float32]"), 7, "belongs under 'models:'"),
    "dotted field out of bounds": (axis("optimizer.beta1: [0.5, 1.0]"), 7, "at least 0, below 1"),
    "choice misspelt": (
        axis("reuse: [replya]"), 7,
        "found 'replya'; did you mean 'replay'?; allowed: replay, split",
    ),
    "verifier misspelt": (
        axis("task.verifier: [mth]"), 7,
        "found 'mth'; did you mean 'math'?; allowed: exact, number, math or module:function of your own or null",
    ),
    "verifier that is no function's name": (axis('task.verifier: ["a b:c"]'), 7, "or module:function of your own"),
    "mapping as an axis": (axis("task.options: [{a: 1}]"), 7, "a mapping has no place in tables; write it under"),
    "file of a task missing": (GOOD + "fixed: {task.name: jsonl}\n", 2, "is needed when task.name is 'jsonl'"),
    **{
        f"{word} for true or false": (
            axis(f"advantage_std: [{word}]"), 7,
            f"grid.advantage_std[0]: write true or false, or quote it if it is text (found {word})",
        )
        for word in ("yes", "No", "on", "OFF")
    },
    "10 million cells": (
        axis("k: {range: {start: 1, stop: 5000001}}"), 2,
        "found 10,000,000; allowed: up to 1,000,000, or more with --allow-huge",
    ),
    "seed missing": (
        GOOD.replace("  seed: [0]\n", ""), 2,
        "grid.seed: this axis is missing; give it a list, e.g. seed: [0]",
    ),
    # models
    "model without entry": (
        axis("model: [llama]"), 7,
        "grid.model[0]: has no entry under 'models:' (found 'llama'",
    ),
    "model with a slash": (axis("model: [meta-llama/Llama]"), 7, "its path or hub id goes under 'models:'"),
    "model as list": (axis("model: [[tiny]]"), 7, "found ['tiny']; allowed: a short name"),
    "model as range": (axis("model: {range: {start: 0, stop: 2}}"), 7, "found 0; allowed: a short name"),
    "model as number": (axis("model: [7]"), 7, "found 7; allowed: a short name"),
    "entry without path": (GOOD + "models:\n  llama: {dtype: float32}\n", 8, "models.llama.path: is missing"),
    "entry with a slash": (
        GOOD + "models:\n  a/b: {path: x}\n", 8,
        "models.a/b: cannot be used (found 'a/b'; allowed: a short name",
    ),
    "entry misspelt": (GOOD + "models:\n  llama: {path: x, dtyp: float32}\n", 8, "did you mean 'dtype'?"),
    "entry with a name": (
        GOOD + "models:\n  llama: {path: x, name: y}\n", 8,
        "models.llama.name: unknown key",
    ),
    "entry's resources a number": (
        GOOD + "models:\n  tiny:\n    resources: 3\n", 9,
        "models.tiny.resources: must be a mapping, as in 'key: value' (found 3)",
    ),
    "entry's resources": (
        GOOD + "models:\n  tiny:\n    resources: {gpu: 1}\n", 9,
        "models.tiny.resources.gpu: unknown key (did you mean 'gpus'?",
    ),
    # the other keys
    "name with a slash": (
        GRID + "name: a/b\n", 6,
        "name: cannot be used (found 'a/b'; allowed: up to 64 of a-z",
    ),
    "name in capitals": ("name: Quick\n" + GRID, 1, "found 'Quick'"),
    "unknown top-level key": (
        GOOD + "exlude: []\n", 7,
        "exlude: unknown key (did you mean 'exclude'?; allowed: name, grid",
    ),
    "fixed list": (
        GOOD + "fixed:\n  clip_eps: [0.2, 0.3]\n", 8,
        "write an axis under 'grid:' (found [0.2, 0.3])",
    ),
    "fixed and an axis": (
        axis("optimizer.beta1: [0.5]") + "fixed:\n  optimizer: {beta1: 0.9}\n", 9,
        "is an axis too, in line 7",
    ),
    "fixed twice": (
        GOOD + "fixed:\n  optimizer: {beta1: 0.9}\n  optimizer.beta1: 0.8\n", 9,
        "is fixed already, in line 8",
    ),
    "fixed k": (GOOD + "fixed:\n  k: 2\n", 8, "fixed.k: is an axis; write it under 'grid:', e.g. k: [2]"),
    "fixed model path": (
        GOOD + "fixed:\n  model: {path: x}\n", 8,
        "fixed.model.path: belongs under 'models:'",
    ),
    "fixed value": (GOOD + "fixed:\n  horizon: 3.5\n", 8, "fixed.horizon: cannot be used (found 3.5"),
    "fixed nested value": (GOOD + "fixed:\n  task:\n    verifier: numbr\n", 9, "did you mean 'number'?"),
    "fixed is a list": (GOOD + "fixed: [1]\n", 7, "fixed: must be a mapping"),
    "exclude matches nothing": (
        GOOD + "exclude:\n- {k: 8, eta: 0.003}\n", 8,
        "exclude[0].eta: matches nothing (found 0.003; allowed: 0.0001, 0.002)",
    ),
    "exclude of no axis": (
        GOOD + "exclude:\n- {horizon: 8}\n", 8,
        "exclude[0].horizon: unknown key (allowed: model, k, eta, seed)",
    ),
    "exclude of everything": (GOOD + "exclude:\n- {}\n", 8, "it would exclude every run"),
    "exclude leaves nothing": (GOOD + "exclude:\n- {k: 2}\n- {k: 8}\n", 7, "leaves no run"),
    "exclude as a mapping": (GOOD + "exclude: {k: 2}\n", 7, "exclude: must be a list"),
    "resources misspelt": (
        GOOD + "resources:\n  time: 3\n", 8,
        "did you mean 'time_min'?; allowed: cpus, gpus, mem_gb",
    ),
    "resources value": (
        GOOD + "resources:\n  gpus: -1\n", 8,
        "found -1; allowed: a whole number, at least 0",
    ),
    "slurm option a list": (
        GOOD + "resources:\n  slurm: {nice: [1]}\n", 8,
        "resources.slurm.nice: cannot be used (found [1]; allowed: one value)",
    ),
    "slurm option a list of text": (
        GOOD + "resources:\n  slurm: {mail_user: [me]}\n", 8,
        "resources.slurm.mail_user: cannot be used (found ['me']; allowed: one value)",
    ),
    "slurm setup without a list": (
        GOOD + "resources:\n  slurm:\n    setup: module load cuda\n", 9,
        "resources.slurm.setup: cannot be used (found 'module load cuda'; allowed: a list of text)",
    ),
    "slurm option a mapping": (
        GOOD + "resources:\n  slurm: {nice: {a: 1}}\n", 8,
        "resources.slurm.nice: cannot be used (found {a: 1}; allowed: text or a whole number",
    ),
    "slurm option misspelt": (
        GOOD + "resources:\n  slurm:\n    mail_typ: END\n", 9,
        "resources.slurm.mail_typ: no such option of sbatch or submitit (did you mean 'mail-type'?)",
    ),
    "slurm option unheard of": (
        GOOD + "resources:\n  slurm: {zzz: 1}\n", 8,
        "resources.slurm.zzz: no such option of sbatch or submitit (allowed: acctg-freq, batch,",
    ),
    "slurm option of a model": (
        GOOD + "models:\n  tiny:\n    resources: {slurm: {reservatoin: mine}}\n", 9,
        "models.tiny.resources.slurm.reservatoin: no such option of sbatch or submitit (did you mean 'reservation'?)",
    ),
    "slurm option in both spellings": (
        GOOD + "resources:\n  slurm: {mail-type: END, mail_type: FAIL}\n", 8,
        "resources.slurm.mail_type: given twice, with dashes and with underscores",
    ),
    "slurm option with a field": (
        GOOD + "resources:\n  slurm: {cpus_per_task: 4}\n", 8,
        "resources.slurm.cpus_per_task: is set by the field cpus of 'resources:', so write it there",
    ),
    "slurm option that stalesweep sets": (
        GOOD + "resources:\n  slurm: {job-name: mine}\n", 8,
        "resources.slurm.job-name: cannot be set: stalesweep finds its jobs by it",
    ),
    "retries of an unknown class": (
        GOOD + "resources:\n  retries: {node_failures: 3}\n", 8,
        "resources.retries.node_failures: no such failure class (did you mean 'node_failure'?; allowed: time_limit,",
    ),
    "retries below 0": (
        GOOD + "resources:\n  retries: {node_failure: -3}\n", 8,
        "resources.retries.node_failure: cannot be used (found -3; allowed: a whole number, at least 0)",
    ),
    "newline for sbatch": (GOOD + 'resources:\n  account: "a\\nb"\n', 8, "characters that cannot be printed"),
    # YAML and what is not YAML
    "empty file": (b"", 1, "the file is empty"),
    "only a comment": (b"# nothing\n", 1, "the file is empty"),
    "list at top level": (b"- name: x\n", 1, "must be a mapping with the key 'grid' (found [{name: 'x'}])"),
    "text at top level": (b"hello\n", 1, "found 'hello'"),
    "grid missing": (b"name: x\n", 1, "grid: is missing or empty; it holds the axes model, k, eta, seed"),
    "grid empty": (b"name: x\ngrid:\n", 2, "grid: is missing or empty"),
    "grid a list": (b"name: x\ngrid: [1]\n", 2, "grid: must be a mapping"),
    "key twice": (GOOD + "  k: [4]\n", 7, "grid.k: given twice (first in line 4)"),
    "list as key": (GOOD + "? [a]\n: 1\n", 7, "top level: has a list or mapping as a key"),
    "tab": (b"grid:\n\tk: [1]\n", 2, "indent with spaces, not tabs"),
    "unclosed bracket": (b"grid:\n  k: [1, 2\n  eta: [1]\n", 3, "cannot be read as YAML"),
    "two documents": (GOOD + "---\na: 1\n", 7, "expected a single document"),
    "python tag": (b"grid: !!python/object:os.system [x]\n", 1, "has a YAML tag"),
    "NUL": (b"name: x\ngrid: \0\n", 2, "a character that is not text (found U+0000)"),
    "Latin-1": (b"name: x\n# \xe9t\xe9\n", 2, "is not a text file in UTF-8 (found byte 0xe9)"),
    "deep nesting": (b"a: " + b"[" * 5000, 1, "more than 50,000 values or 20 levels"),
    "alias in itself": (b"a: &a [*a]\n", 1, "its aliases unfold to more than"),
    "billion laughs": (
        b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in b"bcdefgh"),
        1, "its aliases unfold to more than",
    ),
}  # fmt: skip
