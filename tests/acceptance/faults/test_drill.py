"""A short drill: random faults in each second, and every experiment still ends correctly."""

import json
import os
import subprocess
import sys

from benchmarks.site import ROOT


def test_random_faults_neither_lose_nor_repeat_nor_charge_experiments(tmp_path_factory):
    # Given a folder with a path short enough for a socket
    folder = tmp_path_factory.getbasetemp()
    line = [sys.executable, "-m", "benchmarks.drill", "--seed", "1", "--minutes", "0.3"]
    # When faults happen for 20 seconds
    done = subprocess.run(
        [*line, "--experiments", "200", "--lease", "4", "--format", "json"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    # Then all invariants hold, and no process is left
    found = json.loads(done.stdout)
    assert not [verdict for verdict in found["verdicts"] if not verdict["passed"]], done.stderr
    assert done.returncode == 0
    assert not list(folder.glob("qexp-drill-*"))
