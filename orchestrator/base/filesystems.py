"""Whether a path lies on a file system that several hosts share: SQLite's write-ahead log does not work there.

Read from Linux's list of mounts; the type of a mount says whether other hosts may have it too.
"""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")

_SHARED = frozenset(
    {
        "9p", "acfs", "afs", "auristorfs", "beegfs", "ceph", "cifs", "coda", "cvfs", "davfs", "dvs", "fhgfs", "gfs",
        "gfs2", "glusterfs", "gpfs", "ibrix", "lustre", "ncp", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs",
        "prl_fs", "pvfs2", "scoutfs", "smb3", "smbfs", "sshfs", "vboxsf", "virtiofs", "vmhgfs", "vxfs", "wekafs",
    }
)  # fmt: skip
"""Kernel file systems that several hosts, or a host and its virtual machines, mount at once."""

_LOCAL_FUSE = frozenset(
    {
        "fuseblk", "fuse.bindfs", "fuse.cryfs", "fuse.encfs", "fuse.exfat", "fuse.fuse-overlayfs", "fuse.fuse2fs",
        "fuse.gocryptfs", "fuse.lxcfs", "fuse.mergerfs", "fuse.mhddfs", "fuse.ntfs-3g", "fuse.portal",
        "fuse.squashfuse", "fuse.squashfuse_ll", "fuse.unionfs", "fuse.unionfs-fuse", "fuse.zfs-fuse",
    }
)  # fmt: skip
"""File systems in user space that stay on their host. Most others are shared (sshfs, glusterfs, juicefs, rclone, s3fs,
mfs, quobyte, daos, ...). Taking a local one for shared costs speed only."""


def network_filesystem(path: Path) -> str | None:
    """Name the type, e.g. ``nfs4``, of the file system on which a path lies or will lie, if other hosts may share it.

    None where the file system is local, or where the system does not list its mounts.
    """
    resolved = path.resolve()  # before the list is read: looking at a path may mount what lies there
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return _shared_type(mounts, resolved)


def _shared_type(mounts: str, path: Path) -> str | None:
    """As `network_filesystem`, of a resolved path in the text of a list of mounts."""
    found: tuple[Path, str, str] | None = None
    for line in mounts.splitlines():
        # 36 35 98:0 /root /mount/point options [optional fields ...] - type source options
        mount, _, filesystem = line.partition(" - ")
        fields, kinds = mount.split(" "), filesystem.split(" ")
        if len(fields) < 6 or len(kinds) < 2:
            continue
        point = Path(_unescape(fields[4]))
        # The deepest mount point counts; of several on one point, the last, which lies over the others.
        if path.is_relative_to(point) and (found is None or len(point.parts) >= len(found[0].parts)):
            found = point, kinds[0], _unescape(kinds[1])
    if found is None:
        return None
    _, kind, source = found
    remote_source = source.startswith("//") or re.match(r"[^/]+:/", source)
    fuse = kind == "fuse" or kind.startswith("fuse.")
    return kind if kind in _SHARED or remote_source or (fuse and kind not in _LOCAL_FUSE) else None


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
