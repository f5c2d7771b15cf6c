"""Which mounts several hosts share: lists of mounts as real hosts have them, and a mount made here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base import filesystems
from orchestrator.base.filesystems import network_filesystem

# Lines of login and compute nodes: a plain root, tmpfs, autofs with NFS mounted over it, Lustre, GPFS, BeeGFS, ...
MOUNTS = r"""
21 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw,errors=remount-ro
22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw,size=131000000k,mode=755
25 21 0:23 / /tmp rw,nosuid,nodev shared:7 - tmpfs tmpfs rw,size=67108864k
40 21 0:41 / /home rw,relatime shared:20 - autofs /etc/auto.home rw,fd=5,pgrp=1200,timeout=300,direct
41 40 0:52 / /home rw,relatime shared:21 - nfs4 filer.example.org:/export/home rw,vers=4.2,hard,proto=tcp
42 41 8:3 / /home/local rw,relatime shared:22 - xfs /dev/sda3 rw,attr2,inode64
43 21 0:53 / /scratch rw,relatime shared:23 - lustre 10.1.0.1@o2ib:10.1.0.2@o2ib:/scratch rw,flock,lazystatfs
44 21 0:54 / /gpfs/work rw,relatime shared:24 - gpfs work rw
45 21 0:55 / /mnt/beegfs rw,relatime - beegfs beegfs_nodev rw,cfgFile=/etc/beegfs/beegfs-client.conf
46 21 0:56 /volumes/a /ceph rw,relatime - ceph 10.2.0.1:6789,10.2.0.2:6789:/volumes/a rw,name=hpc,acl
47 21 0:57 / /win rw,relatime - cifs //files/share rw,vers=3.1.1,username=me
48 21 0:58 / /sshfs rw,nosuid,nodev - fuse.sshfs me@host:/data rw,user_id=1000,group_id=1000
49 21 0:59 / /gluster rw,relatime - fuse.glusterfs g1:/vol rw,user_id=0,group_id=0,allow_other
50 21 0:60 / /juice rw,relatime - fuse.juicefs JuiceFS:data rw,user_id=0,group_id=0
51 21 0:61 / /weka rw,relatime - wekafs backend/default rw,readcache
52 21 0:62 / /vm rw,relatime - 9p hostshare rw,trans=virtio
53 21 0:63 / /panfs rw,relatime - panfs panfs://realm/vol rw
54 21 0:64 / /orange rw,relatime - pvfs2 tcp://meta:3334/orangefs rw
55 21 0:65 / /merged rw,relatime - fuse.mergerfs a:b rw,allow_other
56 21 8:17 / /usb rw,relatime - fuseblk /dev/sdb1 rw,user_id=0,group_id=0
57 21 0:66 / /containers rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
58 21 0:67 / /with\040space\134 rw,relatime - nfs filer:/s rw,vers=3
59 21 0:68 / /new rw,relatime - newfs filer.example.org:/new rw
60 25 0:69 / /tmp/over rw,relatime - nfs filer:/over rw
61 60 0:70 / /tmp/over rw,relatime - tmpfs tmpfs rw
62 21 0:71 / /btrfs rw,relatime shared:30 master:2 propagate_from:1 - btrfs /dev/sdc rw
63 21 0:72 / /smb rw - smb3 //files/other rw
64 21 0:73 / /afs rw - afs AFS rw
65 21 0:74 / /odd rw - nfs filer:/odd rw,comment=a - b
66 21 0:75 / /short rw - nfs filer:/short
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    {
        "/": None, "/data/a.db": None, "/tmp/a.db": None, "/home/me/a.db": "nfs4", "/home/local/me/a.db": None,
        "/homework/a.db": None, "/scratch/me/a.db": "lustre", "/gpfs/work/a.db": "gpfs", "/gpfs/a.db": None,
        "/mnt/beegfs/a.db": "beegfs", "/ceph/a.db": "ceph", "/win/a.db": "cifs", "/sshfs/a.db": "fuse.sshfs",
        "/gluster/a.db": "fuse.glusterfs", "/juice/a.db": "fuse.juicefs", "/weka/a.db": "wekafs", "/vm/a.db": "9p",
        "/panfs/a.db": "panfs", "/orange/a.db": "pvfs2", "/merged/a.db": None, "/usb/a.db": None,
        "/containers/a.db": None, "/with space\\/a.db": "nfs", "/new/a.db": "newfs", "/tmp/over/a.db": None,
        "/btrfs/a.db": None, "/smb/a.db": "smb3", "/afs/cell/a.db": "afs",
        "/odd/a.db": "nfs", "/short/a.db": "nfs",
    }.items(),
)  # fmt: skip
def test_lists_of_mounts(path: str, kind: str | None) -> None:
    assert filesystems._shared_type(MOUNTS, Path(path)) == kind


def test_this_hosts_own_disk_and_a_host_without_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert network_filesystem(tmp_path / "a.db") is None
    monkeypatch.setattr(filesystems, "_MOUNTS", tmp_path / "no such list")
    assert network_filesystem(tmp_path / "a.db") is None


def test_a_mount_made_here_seen_through_a_link(tmp_path: Path) -> None:
    """In a name space of its own, where a file system in memory is given the source that one of a server has."""
    (tmp_path / "a disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a disk")
    look = "from pathlib import Path; from orchestrator.base.filesystems import network_filesystem as f; "
    look += f"print(f(Path('{tmp_path}/link/none/a.db')), f(Path('{tmp_path}/a.db')))"
    script = f"mount -t tmpfs server:/export '{tmp_path}/a disk' && exec {sys.executable} -c \"{look}\""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    done = subprocess.run([*unshare, "bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "tmpfs None\n"
