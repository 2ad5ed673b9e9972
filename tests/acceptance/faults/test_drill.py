"""A short drill: faults drawn from a seed, each second, and every experiment still ends as it should."""

import json
import os
import subprocess
import sys

from benchmarks.site import ROOT


def test_random_faults_lose_nothing_double_nothing_and_charge_nobody(tmp_path_factory):
    # Given a folder whose path leaves room for a socket's
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
    # Then all holds that is promised, and nothing is left
    found = json.loads(done.stdout)
    assert not [verdict for verdict in found["verdicts"] if not verdict["passed"]], done.stderr
    assert done.returncode == 0
    assert not list(folder.glob("qexp-drill-*"))
