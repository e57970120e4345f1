"""A store on another side of a socket: an FTP server on loopback, a program that tests start and kill."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(folder: Path, bytes_per_second: int = 0) -> Iterator[str]:
    """Serve a folder; gives its URL. With a bound on what it takes in a second, writing takes its time."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-m", "tests.ftp_server", str(folder), str(bytes_per_second)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"ftp://ann:secret@127.0.0.1:{int(process.stdout.readline())}/values"
        finally:
            process.kill()


def main(folder: str, bytes_per_second: str) -> None:
    """Serve until killed; prints the port."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, ThrottledDTPHandler
    from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_user("ann", "secret", folder, perm="elradfmwMT")

    class Data(ThrottledDTPHandler):  # type: ignore[misc,unused-ignore]
        read_limit = int(bytes_per_second)

    class Handler(FTPHandler):  # type: ignore[misc,unused-ignore]
        dtp_handler = Data
        use_sendfile = False

    Handler.authorizer = authorizer
    server = FTPServer(("127.0.0.1", 0), Handler)
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
