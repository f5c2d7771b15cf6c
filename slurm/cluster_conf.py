"""Write the configuration of a development cluster: slurm.conf and the files that it refers to."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import getpass
import os
import random
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

CPUS_PER_NODE = 2

ORDINARY = "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
URGENT = "PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF"
PARTITIONS = {
    None: [ORDINARY],
    "signal": [f"{ORDINARY} GraceTime=20", URGENT],
    "silent": [ORDINARY, URGENT],
}
"""The partitions, by kind of preemption. A job that reacts to the signal ends before the grace time."""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={dir}/run/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
PidFile={dir}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""


class ClusterError(Exception):
    """A request cannot be fulfilled; the message says what to do."""


def configure(folder: Path, name: str, options: argparse.Namespace) -> int:
    """Write slurm.conf and the files that it refers to, with ports that are free; return the controller's port."""
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    nodes, gpus = options.nodes, options.gpus
    ports = free_ports(nodes + 2)
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    gres = f" Gres=gpu:{gpus}" if gpus else ""
    node_lines = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS_PER_NODE} "
        f"RealMemory={memory_mb} State=UNKNOWN{gres}"
        for node, port in zip(node_names(nodes), ports[2:], strict=True)
    ]
    if gpus:
        node_lines.insert(0, "GresTypes=gpu")
        for gpu in range(gpus):
            (folder / f"run/gpu{gpu}").symlink_to("/dev/null")  # Slurm wants a device
        write(folder, "gres.conf", f"Name=gpu File={folder}/run/gpu[0-{gpus - 1}]\n")
    if not options.no_accounting:
        munge = f"{folder}/run/munge.sock"
        auth = f"AuthType=auth/munge\nCredType=cred/munge\nAuthInfo=socket={munge},cred_expire=5"
        storage = (
            "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n"
            f"AccountingStoragePort={ports[1]}\nAccountingStoragePass={munge}"
        )
        write(folder, "slurmdbd.conf", SLURMDBD_CONF.format(dir=folder, port=ports[1], user=user))
        (folder / "run/munge.key").write_bytes(secrets.token_bytes(128))
        (folder / "run/munge.key").chmod(0o600)
    else:
        auth = "AuthType=auth/none\nCredType=cred/none\nAuthInfo=cred_expire=5"
        storage = "AccountingStorageType=accounting_storage/none"
    template = Path(__file__).with_name("slurm.conf.template").read_text(encoding="utf-8")
    conf = template.format(
        name=name, host=host, user=user, port=ports[0], auth=auth, dir=folder,
        first_job_id=random.randrange(1_000, 1_000_000), accounting=storage, nodes="\n".join(node_lines),
        limits="\n".join(limit_lines(options)), preemption="\n".join(preemption_lines(options.preemption)),
        partitions="\n".join(PARTITIONS[options.preemption]),
    )  # fmt: skip
    write(folder, "slurm.conf", conf)
    return ports[0]


def write(folder: Path, name: str, text: str) -> None:
    """Write a file of the configuration, readable by its owner only (slurmdbd insists)."""
    (folder / "etc" / name).write_text(text, encoding="utf-8")
    (folder / "etc" / name).chmod(0o600)


def limit_lines(options: argparse.Namespace) -> list[str]:
    """Return the lines of slurm.conf that limit jobs."""
    lines = [f"MaxArraySize={options.max_array_size}"] if options.max_array_size else []
    if options.max_submit:
        lines.append("AccountingStorageEnforce=limits")
    if not options.memory_limits:
        return [*lines, "SelectTypeParameters=CR_CPU", "JobAcctGatherType=jobacct_gather/none"]
    return [
        *lines, "SelectTypeParameters=CR_CPU_Memory", "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherParams=OverMemoryKill", "JobAcctGatherFrequency=task=1",
    ]  # fmt: skip


def preemption_lines(kind: str | None) -> list[str]:
    """Return the lines of slurm.conf that configure preemption."""
    if kind is None:
        return []
    lines = ["PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE"]
    return [*lines, "SlurmctldParameters=preempt_send_user_signal"] if kind == "signal" else lines


def node_names(nodes: int) -> list[str]:
    """Return node1, node2 and so on."""
    return [f"node{number}" for number in range(1, nodes + 1)]


def free_ports(count: int) -> list[int]:
    """Find free TCP ports, below the range of outgoing connections."""
    ports: list[int] = []
    taken = ports_of_clusters()
    for port in random.sample(range(20_000, 32_000), 12_000):
        if port not in taken and not listening(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise ClusterError(f"found no {count} free ports between 20000 and 32000")


def listening(port: int) -> bool:
    """Return whether a process listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock, so that the same user's other clusters do not choose ports meanwhile."""
    with (Path(tempfile.gettempdir()) / f"slurm-cluster-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ports_of_clusters() -> set[int]:
    """Return the ports of the user's clusters, also of killed daemons, which may be started again."""
    ports: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        found = dict(variable.partition(b"=")[::2] for variable in variables(int(process.name)))
        if b"DEV_CLUSTER_DAEMON" in found:
            with contextlib.suppress(OSError):  # a cluster that is down does not need its ports
                conf = Path(os.fsdecode(found[b"SLURM_CONF"])).read_text(encoding="utf-8")
                ports.update(map(int, re.findall(r"Port=(\d+)", conf)))
    return ports


def variables(pid: int) -> list[bytes]:
    """Return a process's environment, or [] if it has none or belongs to another user."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
