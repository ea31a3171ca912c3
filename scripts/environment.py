"""One environment for every command: `.venv` in the repository, made from constraints.txt.

Standard library only, and syntax that older Pythons read: it runs before anything is installed.
"""

import hashlib
import os
import subprocess
import sys

OLDEST, TOO_NEW = (3, 11, 5), (3, 12)  # 3.11.5: pymdown-extensions asks for it
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
STAMP = os.path.join(VENV, "installed.sha256")
LOG = os.path.join(VENV, "install.log")


def enter():
    """Continue this command inside `.venv`, which is made, or brought up to date, if needed."""
    if not OLDEST <= sys.version_info[:3] < TOO_NEW:
        running = ".".join(str(part) for part in sys.version_info[:3])
        sys.exit(
            f"This is Python {running}; the handbook's frameworks are pinned for Python 3.11 (from "
            f"3.11.5). Install it, then run: python3.11 {' '.join(sys.argv)}"
        )
    wanted = _fingerprint()
    if _installed() != wanted:
        try:
            _install()
        except KeyboardInterrupt:
            sys.exit("\nInterrupted. Run the same command again to continue the installation.")
        with open(STAMP, "w") as stamp:
            stamp.write(wanted)
    if os.path.realpath(sys.prefix) == os.path.realpath(VENV):
        return
    command = [PYTHON, *sys.argv]
    if os.name == "nt":  # there, exec detaches from the terminal
        sys.exit(subprocess.call(command))
    os.execv(PYTHON, command)


def _fingerprint():
    digest = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def _installed():
    try:
        with open(STAMP) as stamp:
            return stamp.read()
    except OSError:
        return None


def _install():
    print("Installing the pinned packages into .venv: a few minutes, about 5 GB.", flush=True)
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        made = subprocess.run([sys.executable, "-m", "venv", VENV], stdout=subprocess.PIPE)
        if made.returncode:
            sys.exit("Python's venv module could not make .venv (on Debian: install python3-venv).")
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"]
    pip += ["--retries=2", "--constraint=constraints.txt", "--editable=.[all]"]
    failure = ""
    process = subprocess.Popen(
        pip, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    with open(LOG, "w") as log:
        for line in process.stdout:
            log.write(line)
            if line.startswith(("Collecting", "Installing", "Successfully")):
                print("  " + line[:76].rstrip(), flush=True)
            elif line.startswith("ERROR:"):
                failure = failure or line[6:].strip()
            elif "NewConnectionError" in line or "NameResolutionError" in line:
                failure = "no package index could be reached"
    process.wait()
    if process.returncode:
        sys.exit(
            f"The installation stopped: {failure or 'pip failed'}. Nothing is lost: run the same "
            "command again to continue (the log is .venv/install.log)."
        )
