"""Decoders that misbehave on purpose: run in the place of `preparation.prepare` by a Verifier."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mlimages.images.preparation import Verified, prepare
from mlimages.images.settings import ImageSettings


def misbehave(data: bytes, settings: ImageSettings, *, md5: bool = True) -> Verified:
    """Do what the bytes say, and decode all others."""
    if data == b"sleep":
        time.sleep(600)
    if data == b"spin":
        while True:
            pass
    if data == b"die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"exhaust":
        return Verified(md5="0" * 32 + str(len(bytearray(1 << 45))))
    if data.startswith(b"die once "):
        mark = Path(data.removeprefix(b"die once ").decode())
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        data = mark.with_suffix(".jpg").read_bytes()
    if data.startswith(b"slow "):
        time.sleep(float(data[5:]))
    return prepare(data, settings, md5=md5)
