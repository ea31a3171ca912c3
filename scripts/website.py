"""Build the site strictly, if anything it is made of has changed, and serve it."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import rules
from records import ROOT

SITE = ROOT / "site"
STAMP = ROOT / ".cache" / "site.sha256"
SOURCES = ("constraints.txt", "docs", "examples", "mkdocs.yml", "scripts/site", "tests/outline.md")


def build() -> None:
    """Build `site/`; exits with what MkDocs says if a page has a fault."""
    content = _fingerprint()
    if SITE.is_dir() and STAMP.is_file() and STAMP.read_text() == content:
        print("The site is up to date.", flush=True)
        return
    if problems := rules.problems():
        sys.exit("\n".join([*problems, "The site was not built: mend these lines."]))
    started = time.perf_counter()
    STAMP.unlink(missing_ok=True)
    # Not --quiet: it drops warnings before --strict counts them.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(*(line for line in done.stdout.splitlines() if not line.startswith("INFO")), sep="\n")
        sys.exit("The site was not built: see the lines above.")
    STAMP.parent.mkdir(exist_ok=True)
    STAMP.write_text(content)
    print(f"The site is in site/ ({time.perf_counter() - started:.1f} s).", flush=True)


def bind(port: int) -> ThreadingHTTPServer:
    """A server for `site/` on this machine; exits with one line if the port is in use."""
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=SITE))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"Port {port} is in use. Choose another: --port {port + 1}")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in SOURCES:
        path = ROOT / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.relative_to(ROOT).as_posix().encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()
