# SPDX-License-Identifier: MIT
"""How Python's threads, signals and garbage collector meet a C context.

A context is used by one thread at a time: its guard has the lock. What must
hold whenever Ctrl-C arrives, and it may arrive between any two instructions of
the main thread: the lock is only ever held by `with`, a long call runs on a
thread of its own, which signals never reach, and frees wait for their turn.
"""

import _thread
import collections
import logging
import os
import sys
import threading
import warnings
import weakref

from ._library import DreamboothWarning, error, errors, ffi, lib, text_of

log = logging.getLogger(__package__)


class Guard:
    """Of a context and of everything made in it."""

    def __init__(self, context):
        self.context = context
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._garbage = collections.deque()
        self._lines = collections.deque()

    def call(self, work, long=False):
        """The result of work(), during which the context is ours."""
        self._check()
        try:
            if long and threading.current_thread() is threading.main_thread():
                return _Call(self, work).result()
            return self.turn(work)
        finally:
            if self._garbage:
                self.sweep()
            if self._lines:
                self._tell()

    def _check(self):
        if self._process != os.getpid():
            raise errors["StateError"](
                "made before fork(): the threads are not in this process; open "
                "it anew here")
        if self._lock._is_owned():
            raise errors["StateError"](
                "a call is running in this thread: a signal handler may only "
                "cancel()")

    def turn(self, work):
        with self._lock:
            return work()

    def checked(self, status):
        """The status of a call, unless it is an error's: then that is raised.
        The lines of the log are taken over."""
        self._keep_log()
        if status < 0:
            text = text_of(lib.dreambooth_context_error(self.context))
            raise error(status, text)
        return status

    # The log

    def _keep_log(self):
        level, text = ffi.new("int *"), ffi.new("const char **")
        while lib.dreambooth_context_next_log(self.context, level, text) == 0:
            self._lines.append((level[0], text_of(text[0])))

    def _tell(self):
        while self._lines:
            level, text = self._lines.popleft()
            if level >= lib.DREAMBOOTH_LOG_WARNING:
                warnings.warn(text, DreamboothWarning, _frames_in_package())
            else:
                log.info("%s", text)

    # Frees

    def own(self, owner, free, pointer):
        """Frees the pointer after its owner. At the end of the process the
        memory goes with it."""
        finalizer = weakref.finalize(owner, self._discard, free, pointer)
        finalizer.atexit = False
        return finalizer

    def _discard(self, free, pointer):
        self._garbage.append((free, pointer))
        self.sweep()

    def sweep(self):
        """Frees what is to be freed, unless a call is running: then it does
        that at its end. Never waits, as the garbage collector comes here."""
        if self._lock._is_owned() or self._process != os.getpid():
            return
        try:
            while self._garbage and self._lock.acquire(blocking=False):
                free, pointer = self._garbage.popleft()
                free(pointer)
                self._lock.release()
        finally:
            if self._lock._is_owned():
                self._lock.release()


class _Call:
    """A call by the main thread, which waits while another one works: waiting,
    it sees a signal at once. If the signal's handler raises, the context is
    cancelled, the end of the work awaited, and the cancelling taken back."""

    def __init__(self, guard, work):
        self.guard, self.work = guard, work
        self.value = self.error = None
        self.running = self.withdrawn = False
        self.begun, self.state = threading.Lock(), threading.Lock()
        self.finished = threading.Lock()
        self.finished.acquire()

    def result(self):
        try:
            try:
                _thread.start_new_thread(self.run, ())
            except RuntimeError:  # no more threads
                self.run()
            self.finished.acquire()
        except BaseException:
            self.withdraw()
            raise
        if self.error is not None:
            problem, self.error = self.error, None
            try:
                raise problem
            finally:
                del problem  # whose frames hold what we hold
        return self.value

    def run(self):
        if not self.begun.acquire(blocking=False):
            return
        try:
            self.value = self.guard.turn(self.begin)
        except BaseException as problem:
            self.error = problem
        finally:
            self.finished.release()

    def begin(self):
        with self.state:
            self.running = not self.withdrawn
        if not self.running:
            return None
        try:
            return self.work()
        finally:
            with self.state:
                self.running = False
                if self.withdrawn:
                    lib.dreambooth_context_clear_cancel(self.guard.context)

    def withdraw(self):
        with self.state:
            self.withdrawn = True
            if self.running:
                lib.dreambooth_context_cancel(self.guard.context)
        while self.running:
            try:
                self.finished.acquire()
                break
            except BaseException:
                continue  # asked again: it is being stopped already


def _frames_in_package():
    """For warnings.warn(): as many as lie between it and the user's line."""
    frame, count = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__package__") == \
            __package__:
        frame, count = frame.f_back, count + 1
    return count
