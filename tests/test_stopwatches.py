"""A timed test does not fail where the whole machine stops for seconds, and fails where something waits for long."""

import signal
import subprocess
import sys
import time

from support.paths import TESTS
from support.stopwatches import measured

MEASURE = """
import time
from support.stopwatches import measured
with measured() as took:
    print("began", flush=True)
    time.sleep(1)
print(took.seconds)
"""


def test_a_wait_counts() -> None:
    began = time.monotonic()
    with measured() as took:
        while took.seconds < 0.3:
            time.sleep(0.02)
    assert took.seconds <= time.monotonic() - began


def test_a_time_in_which_the_process_is_stopped_does_not_count() -> None:
    command = [sys.executable, "-c", MEASURE]
    with subprocess.Popen(command, env={"PYTHONPATH": str(TESTS)}, stdout=subprocess.PIPE, text=True) as measuring:
        assert measuring.stdout is not None
        assert measuring.stdout.readline() == "began\n"
        measuring.send_signal(signal.SIGSTOP)
        time.sleep(3)
        measuring.send_signal(signal.SIGCONT)
        assert float(measuring.stdout.readline()) < 1.5
