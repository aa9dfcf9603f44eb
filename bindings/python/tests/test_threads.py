# SPDX-License-Identifier: MIT
"""Threads, signals, the garbage collector and fork()."""

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy
import pytest

import dreambooth
from conftest import RUN, weights


def spin(stop, count):
    while not stop.is_set():
        count[0] += 1
        time.sleep(0.0005)


def test_others_run_while_a_step_does(model):
    sampler = model.sampler(steps=1, size=256)
    stop, count = threading.Event(), [0]
    other = threading.Thread(target=spin, args=(stop, count))
    other.start()
    time.sleep(0.02)
    before, start = count[0], time.monotonic()
    sampler.step()
    took, counted = time.monotonic() - start, count[0] - before
    stop.set()
    other.join()
    assert counted > 5 and counted > took / 0.01


def later(seconds, action):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def long_trainer(model, folder, tmp_path):
    """Its steps take long enough to be met in the middle."""
    trainer = model.trainer(**{**RUN, "size": 64, "steps": 3, "batch": 4},
                            out=tmp_path / "out")
    trainer.add(folder / "photos")
    for _ in trainer.prepare():
        pass
    return trainer


def test_ctrl_c_in_a_step(long_trainer, model, folder, tmp_path):
    caught = 0
    for attempt in range(4):
        timer = later(0.02 + 0.03 * attempt, interrupt)
        try:
            long_trainer.run()
            timer.join()
        except KeyboardInterrupt:
            caught += 1
        timer.join()
    assert caught >= 1
    long_trainer.run()
    assert long_trainer.facts["step"] == 3
    # It comes to the same as if nothing had happened.
    other = dreambooth.Model.open(folder / "model").trainer(
        **{**RUN, "size": 64, "steps": 3, "batch": 4}, out=tmp_path / "other")
    other.add(folder / "photos")
    other.run()
    assert weights(tmp_path / "other") == weights(tmp_path / "out")


def test_ctrl_c_stops_the_call_itself(model, folder):
    """A single call that would take minutes."""
    trainer = model.trainer(instance_prompt="a robot", size=64, steps=1,
                            gradient_accumulation=5000)
    trainer.add(folder / "photos")
    start, timer = time.monotonic(), later(0.3, interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.step()
    timer.join()
    assert time.monotonic() - start < 10
    assert trainer.facts["step"] == 0
    # Nothing of the cancelling is left.
    assert model.sampler(steps=1, size=16).step().step == 1


def test_any_signal_handler_that_raises(model):
    class Alarm(Exception):
        pass

    def ring(*_):
        raise Alarm

    sampler = model.sampler(steps=50, size=128)
    old = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Alarm):
            for _ in range(1000):
                sampler.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert sampler.step().step >= 1


def test_a_signal_handler_may_ask_between_steps(model):
    sampler = model.sampler(steps=20, size=64)
    seen = []
    old = signal.signal(signal.SIGALRM,
                        lambda *_: seen.append(sampler.facts["step"]))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        sampler.run()
        while not seen:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert 0 <= seen[0] <= 20


def test_ctrl_c_to_a_program(folder, tmp_path):
    script = ("import dreambooth, sys\n"
              "from conftest import RUN\n"
              "model = dreambooth.Model.open(sys.argv[1])\n"
              "trainer = model.trainer(**{**RUN, 'steps': 100000},\n"
              "                        out=sys.argv[3])\n"
              "trainer.add(sys.argv[2])\n"
              "try:\n"
              "    for step in trainer:\n"
              "        print(step.step, flush=True)\n"
              "except KeyboardInterrupt:\n"
              "    trainer.checkpoint()\n"
              "    print('kept', trainer.facts['step'], trainer.step().step)\n")
    run = subprocess.Popen([sys.executable, "-c", script, folder / "model",
                            folder / "photos", tmp_path / "out"], text=True,
                           stdout=subprocess.PIPE,
                           env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    for line in run.stdout:
        if line.strip() == "3":
            break
    run.send_signal(signal.SIGINT)
    last = run.stdout.read().splitlines()[-1].split()
    assert run.wait() == 0
    assert last[0] == "kept" and int(last[2]) == int(last[1]) + 1
    assert (tmp_path / "out" / "checkpoints").exists()


STORM = """
import dreambooth, os, random, signal, sys, threading, time

def storm():
    choose = random.Random(1)
    while not over.is_set():
        time.sleep(choose.random() * 0.004)
        os.kill(os.getpid(), signal.SIGINT)

def work():
    sampler.step()
    sampler.prompt
    dreambooth.Image.new(8, 8, model.context)
    model.sampler(steps=1, size=16).step()

model = dreambooth.Model.open(sys.argv[1], threads=2)
sampler = model.sampler(steps=900, size=16)
over, caught, end = threading.Event(), 0, time.monotonic() + 2
thread = threading.Thread(target=storm)
while not over.is_set() or thread.is_alive():
    try:
        if thread.ident is None:
            thread.start()
        while time.monotonic() < end:
            work()
        over.set()
        thread.join()
    except KeyboardInterrupt:
        caught += 1
work()
print(caught, len(model._guard._garbage))
"""


def test_ctrl_c_at_any_time(folder):
    """Hundreds, wherever they meet the interpreter: no call is lost, none
    finds the context still in use, nothing waits for ever."""
    ran = subprocess.run([sys.executable, "-c", STORM, folder / "model"],
                         text=True, capture_output=True, timeout=60,
                         env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    assert ran.returncode == 0, ran.stderr
    caught, garbage = map(int, ran.stdout.split())
    assert caught > 50 and garbage == 0


def test_cancelling_from_a_thread(model):
    sampler = model.sampler(steps=900, size=64)
    timer = later(0.5, model.context.cancel)
    with pytest.raises(dreambooth.CancelledError) as caught:
        sampler.run()
    timer.join()
    assert caught.value.name == "DREAMBOOTH_ECANCELLED"
    with pytest.raises(dreambooth.CancelledError):
        sampler.step()
    model.context.clear_cancel()
    assert sampler.step().step > 1


def test_threads_in_one_context_take_turns(model):
    sampler = model.sampler(steps=2, size=256, prompt="a robot")
    step = threading.Thread(target=sampler.step)
    step.start()
    time.sleep(0.05)
    # Asked in the middle of the step, answered at its end.
    assert sampler.facts["step"] == 1
    step.join()


def test_a_thread_asks_while_another_steps(model):
    options = dict(steps=60, size=32, prompt="a robot")
    alone, = model.sampler(**options).run()
    sampler = model.sampler(**options)
    run = threading.Thread(target=sampler.run)
    seen = []
    run.start()
    while run.is_alive():
        seen.append(sampler.facts["step"])
        time.sleep(0.001)
    run.join()
    assert len(set(seen)) > 3 and seen == sorted(seen)
    assert (numpy.asarray(sampler.image()) == numpy.asarray(alone)).all()


def test_threads_with_contexts_of_their_own(folder):
    def draw(place):
        model = dreambooth.Model.open(folder / "model", threads=1)
        found[place], = model.sampler(steps=3, size=32, seed=3).run()

    found = {}
    threads = [threading.Thread(target=draw, args=(place,))
               for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({numpy.asarray(image).tobytes()
                for image in found.values()}) == 1


def test_any_order_of_frees(folder):
    """From several threads, in cycles, during calls, in any order."""
    model = dreambooth.Model.open(folder / "model", threads=1)

    def churn(seed):
        choose = random.Random(seed)
        held = []
        for _ in range(60):
            sampler = model.sampler(steps=1, size=16)
            image = dreambooth.Image.new(32, 32, model.context)
            cycle = [sampler, image, dreambooth.Identifier(model)]
            cycle.append(cycle)
            held.append(choose.choice(cycle))
            if choose.random() < 0.1:
                sampler.step()
            if choose.random() < 0.3:
                held.pop(choose.randrange(len(held)))
            if choose.random() < 0.1:
                gc.collect()

    threads = [threading.Thread(target=churn, args=(seed,))
               for seed in range(4)]
    for thread in threads:
        thread.start()
    churn(4)
    for thread in threads:
        thread.join()
    # A sampler lets go of what an identifier has read of the text encoder.
    model.sampler(steps=1, size=16).step()
    gc.collect()
    model.prompt_length
    live = model.context.memory_live
    for _ in range(20):
        model.sampler(steps=1, size=16).step()
    gc.collect()
    assert abs(model.context.memory_live - live) < 1000  # texts
    assert not model._guard._garbage


def test_memory_goes_with_the_last_reference(folder):
    context = dreambooth.Context(threads=1)
    empty = context.memory_live
    model = dreambooth.Model.open(folder / "model", context)
    model.sampler(steps=1, size=16).step()  # which reads the weights
    gc.collect()
    assert context.memory_live > empty + 5e6
    with pytest.raises(OSError):
        model.save("/dev/null/nowhere")
    del model
    assert context.memory_live < empty + 1000


def test_fork(model):
    sampler = model.sampler(steps=1, size=16, seed=3)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                sampler.step()
            except dreambooth.StateError as problem:
                assert "fork" in str(problem)
                code = 0
            del sampler
            gc.collect()
            assert dreambooth.Image.new(2, 2).width == 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert sampler.run()[0].width == 16


def test_the_end_of_the_interpreter(folder):
    """With work going on in a daemon's thread, and everything still held."""
    script = ("import dreambooth, sys, threading\n"
              "model = dreambooth.Model.open(sys.argv[1])\n"
              "sampler = model.sampler(steps=900, size=64)\n"
              "kept = [sampler, model]\n"
              "kept.append(kept)\n"
              "run = threading.Thread(target=sampler.run, daemon=True)\n"
              "run.start()\n"
              "while sampler.facts['step'] < 3:\n"
              "    pass\n"
              "model.context.cancel()\n"
              "run.join()\n")
    ran = subprocess.run([sys.executable, "-c", script, folder / "model"],
                         text=True, capture_output=True, timeout=60,
                         env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    assert ran.returncode == 0
    assert "CancelledError" in ran.stderr and "Fatal" not in ran.stderr
