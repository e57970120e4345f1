"""Which file system a path is on, read from the mounts as Linux tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from treadle.storage.networks import kind_of, network_kind

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/local rw,relatime shared:3 - xfs /dev/sdb1 rw
32 22 0:50 / /mnt/my\\040share rw - cifs //server/share rw
33 22 0:60 / /over rw - tmpfs tmpfs rw
34 22 0:61 / /over rw - fuse.sshfs host: rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/homestead/a", "ext4"),
        ("/home", "nfs4"),
        ("/home/somebody/.treadle", "nfs4"),
        ("/home/local/somebody", "xfs"),
        ("/mnt/my share/home", "cifs"),
        ("/over/a", "fuse.sshfs"),
    ],
)
def test_path_is_on_the_mount_that_is_nearest_above_it(path: str, kind: str) -> None:
    assert kind_of(path, MOUNTS) == kind


def test_only_network_file_systems_count(tmp_path: Path) -> None:
    assert network_kind(Path("/home/somebody"), MOUNTS) == "nfs4"
    assert network_kind(Path("/home/local"), MOUNTS) is None
    assert network_kind(Path("/home"), "") is None
    assert network_kind(tmp_path) is None
