# SPDX-License-Identifier: MIT
"""Processes that run a step when they are told to (../worker.h), and taking
turns with two of them."""

import os
import statistics
import subprocess
import time

# Threads that have nothing to do keep spinning for a while in OpenMP: a pause
# before each turn, so that they do not stand in the other's way.
PAUSE = 0.3


class Failed(Exception):
    """A worker ended before its time."""


class Absent(Exception):
    """The library does not have what the row needs."""


class Worker:
    """One process, from its start to its peak of memory."""

    def __init__(self, command, limit, log, warm=1):
        """LIMIT: seconds. WARM: runs that do not count."""
        self.warm = warm
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1",
                           DIFFUSERS_VERBOSITY="error",
                           TRANSFORMERS_VERBOSITY="error")
        environment.pop("OPENBLAS_CORETYPE", None)
        # Its own end after LIMIT seconds, also where we are gone by then.
        command = ["timeout", str(limit)] + command
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log)
        first = self.process.stdout.readline()
        if first == "absent\n":
            self.process.wait()
            raise Absent()
        if first != "ready\n":
            self.kill()
            raise Failed()

    def run(self):
        """The seconds of one run."""
        time.sleep(PAUSE)
        try:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise Failed() from error
        words = self.process.stdout.readline().split()
        if len(words) != 2 or words[0] != "seconds":
            self.kill()
            raise Failed()
        return float(words[1])

    def warm_up(self):
        for _ in range(self.warm):
            self.run()

    def close(self):
        """The most memory that it had, in bytes."""
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise Failed()
        facts = dict(line.split() for line in output.splitlines())
        return int(facts["peak"])

    def kill(self):
        # Which timeout(1) hands on, as it could not do with SIGKILL.
        self.process.terminate()
        self.process.wait()


def measure(start, runs):
    """Median seconds and peak of one worker alone."""
    worker = start()
    worker.warm_up()
    times = [worker.run() for _ in range(runs)]
    return statistics.median(times), worker.close()


def alternate(starts, runs):
    """The same of two workers that take turns."""
    workers = [start() for start in starts]
    for worker in workers:
        worker.warm_up()
    times = [[worker.run() for worker in workers] for _ in range(runs)]
    return [(statistics.median(column), worker.close())
            for column, worker in zip(zip(*times), workers)]


def alternate_alone(starts, runs):
    """The same, with only one of them in memory at a time."""
    results = [[measure(start, 1) for start in starts] for _ in range(runs)]
    return [(statistics.median(time for time, _ in column),
             max(peak for _, peak in column)) for column in zip(*results)]
