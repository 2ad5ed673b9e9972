"""
Run a command and write its seconds and peak memory into a file: `python peak.py FILE COMMAND…`.

This is a separate small process, because the peak memory that Linux reports includes the parent's.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

began = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - began
unit = 1 if sys.platform == "darwin" else 1024
found = {"seconds": seconds, "peak": usage.ru_maxrss * unit, "status": os.waitstatus_to_exitcode(status)}
Path(sys.argv[1]).write_text(json.dumps(found))
