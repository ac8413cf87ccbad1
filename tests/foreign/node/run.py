"""Starts a server and runs main.mjs against it, with the cached packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import CACHE, Server  # noqa: E402


def main():
    """The packages lie beside a copy of the checks: imports look only there."""
    work = CACHE / "node"
    for name in ("main.mjs", "check.mjs"):
        shutil.copy(HERE / name, work / name)
    with Server(name="node") as server:
        env = dict(os.environ, NATS_URL=server.url)
        sys.exit(subprocess.run(["node", "main.mjs"], cwd=work, env=env, timeout=300).returncode)


if __name__ == "__main__":
    main()
