#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library side by side with PyTorch: the same work in turns, each row in
the form that is fastest in PyTorch, as a Markdown table. `make bench-peer` runs
it; doc/performance.md tells what is measured and what the variables are.
"""

import datetime
import json
import os
import subprocess
import sys

import rows as table
import workers

BUILD = os.environ["BUILD_DIR"]
WORK = os.path.join(BUILD, "bench-peer")
HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = ["torch", "diffusers", "transformers"]
GB = 1e9


def setting(name, default=""):
    return os.environ.get(name) or default


THREADS = setting("THREADS", str(os.cpu_count()))
BACKEND = setting("BACKEND", "simd")
LIMIT = 60 * float(setting("LIMIT", "20"))  # for one worker
FORM_LIMIT = 60 * float(setting("FORM_LIMIT", "10"))  # for a form that is tried
# What was compiled for a trial is there for the comparison.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR",
                      os.path.join(WORK, "inductor"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def find_python():
    """PyTorch's interpreter: the one that is named, or one of our own."""
    named = setting("PEER_PYTHON")
    if named:
        return named
    python = os.path.join(WORK, "venv/bin/python")
    mark = os.path.join(WORK, "venv/complete")
    if not os.path.exists(mark):
        say(f"installing {', '.join(PACKAGES)} from the Python package index "
            f"into {WORK}/venv")
        venv = os.path.join(WORK, "venv")
        commands = [[sys.executable, "-m", "venv", venv],
                    [python, "-m", "pip", "install", "-q"] + PACKAGES]
        for command in commands:
            if subprocess.run(command, check=False).returncode != 0:
                raise SystemExit(f"bench-peer: {' '.join(command)} failed; "
                                 "PEER_PYTHON names a Python that has "
                                 "PyTorch already")
        open(mark, "w", encoding="utf-8").close()
    return python


class Sides:
    """How to start both sides of a row."""

    def __init__(self, python):
        self.python = python
        self.log = open(os.path.join(WORK, "log"), "w", encoding="utf-8")

    def ours(self, row):
        words = (row.request + " " + row.ours).split()
        return lambda: workers.Worker(
            [os.path.join(BUILD, "test/bench-run"), "worker"] + words +
            [f"threads={THREADS}", f"backend={BACKEND}"], LIMIT, self.log)

    def theirs(self, row, form, limit=LIMIT):
        # The first run compiles; the second still has its guards to settle.
        warm = 2 if "compile" in form.split("+") else 1
        words = (row.request + " " + row.theirs).split()
        return lambda: workers.Worker(
            [self.python, os.path.join(HERE, "theirs.py")] + words +
            [f"threads={THREADS}", f"form={form}"], limit, self.log, warm)

    def versions(self):
        return subprocess.run(
            [self.python, os.path.join(HERE, "theirs.py"), "versions"],
            check=True, text=True, stdout=subprocess.PIPE,
            stderr=self.log).stdout.strip()


class Forms:
    """The fastest form of each row, which is looked for once on a machine and
    kept in a file."""

    def __init__(self, sides, machine):
        self.sides = sides
        self.machine = machine
        self.path = os.path.join(WORK, "forms.json")
        self.known = {}
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                self.known = json.load(file)

    def find(self, row):
        given = setting("FORMS").split()
        forms = given or row.forms
        row = table.choose([row.like])[0] if row.like else row
        key = f"{row.name}, {self.machine}"
        if not given and key in self.known:
            return self.known[key]
        best = forms[0] if len(forms) == 1 else self.search(row, forms)
        if not given:
            self.known[key] = best
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(self.known, file, indent=2)
        return best

    def search(self, row, forms):
        times = {}
        for form in forms:
            try:
                runs = 1 if row.alone else min(row.runs, 3)
                seconds, _ = workers.measure(
                    self.sides.theirs(row, form, FORM_LIMIT), runs)
                times[form] = seconds
                say(f"{row.name}: PyTorch, {form}: {seconds:.3f} s")
            except workers.Failed:
                say(f"{row.name}: PyTorch, {form}: failed; see {WORK}/log")
        if not times:
            raise workers.Failed()
        return min(times, key=times.get)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown processor"


def describe(python_versions):
    blas = subprocess.run(
        [os.path.join(BUILD, "test/bench-run"), "machine"], check=True,
        text=True, stdout=subprocess.PIPE).stdout.strip()
    day = datetime.date.today().isoformat()
    return (f"{processor()}, {os.cpu_count()} processors, {THREADS} threads. "
            f"{blas}, backend {BACKEND}. {python_versions}. {day}.")


def seconds_text(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def compare(row, sides, forms):
    """The row of the table, or None if it is left out."""
    try:
        form = forms.find(row)
        take_turns = workers.alternate_alone if row.alone else workers.alternate
        runs = int(setting("RUNS", str(row.runs)))
        ours, theirs = take_turns([sides.ours(row), sides.theirs(row, form)],
                                  runs)
    except workers.Absent:
        say(f"{row.name}: left out: the library lacks {row.request}")
        return None
    except workers.Failed:
        say(f"{row.name}: failed; see {WORK}/log")
        return None
    return (f"| {row.title} | {seconds_text(ours[0])} | "
            f"{seconds_text(theirs[0])} | {form.replace('+', ', ')} | "
            f"{ours[0] / theirs[0]:.2f} | {row.goal} | "
            f"{ours[1] / GB:.1f} | {theirs[1] / GB:.1f} |")


HEAD = """
| work | ours | PyTorch | its form | ours / PyTorch | goal | ours, GB | \
PyTorch, GB |
|---|---:|---:|---|---:|---:|---:|---:|"""


def main():
    chosen = table.choose(setting("ROWS").split())
    os.makedirs(WORK, exist_ok=True)
    sides = Sides(find_python())
    versions = sides.versions()
    machine = describe(versions)
    # Whatever ours is: PyTorch's fastest form does not depend on it.
    forms = Forms(sides, f"{processor()}, {THREADS} threads, {versions}")
    path = setting("BENCH_OUT", os.path.join(WORK, "table.md"))
    complete = True
    with open(path + ".new", "w", encoding="utf-8") as file:
        for line in [machine, HEAD] + [None] * len(chosen):
            if line is None:
                line = compare(chosen.pop(0), sides, forms)
            complete = complete and line is not None
            if line is not None:
                print(line, flush=True)
                print(line, file=file, flush=True)
    os.replace(path + ".new", path)
    sys.exit(0 if complete else 1)


main()
