"""On what kind of file system a file is: a write-ahead log must not be on one that several machines share.

Reads the mounts of this process and nothing else; the database asks when it is opened.
"""

from __future__ import annotations

from pathlib import Path

#: kinds that other machines may write to, or whose locks and shared memory cannot be trusted
NETWORK_KINDS = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph glusterfs lustre gpfs beegfs pvfs2 ocfs2 gfs2 ncpfs coda"
    " fuse.sshfs fuse.glusterfs fuse.s3fs fuse.gcsfuse fuse.rclone fuse.ceph-fuse fuse.cephfs fuse.davfs2 davfs".split()
)


def read_mounts() -> str:
    """The mounts of this process as Linux tells them; empty elsewhere."""
    try:
        return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ""


def kind_of(path: str, mounts: str) -> str | None:
    """The kind of the file system that an absolute path is on; None where the mounts do not tell."""
    best, kind = -1, None
    for line in mounts.splitlines():
        front, _, back = line.partition(" - ")
        fields = front.split(" ")
        if len(fields) < 5 or not back:
            continue
        point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        # of mounts at the same point the last one hides the others
        if len(point) >= best and (path == point or path.startswith(point.rstrip("/") + "/")):
            best, kind = len(point), back.split(" ")[0]
    return kind


def network_kind(path: Path, mounts: str | None = None) -> str | None:
    """The kind of network file system that a path is on; None where it is on none."""
    kind = kind_of(str(path.resolve()), read_mounts() if mounts is None else mounts)
    return kind if kind in NETWORK_KINDS else None
