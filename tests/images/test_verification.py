from __future__ import annotations

import hashlib
import os
import signal
import struct
import time
import zlib
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from tests.images.pictures import encode, smooth

from mlimages.errors import InputError, MlimagesError
from mlimages.images import verification_process
from mlimages.images.decoding import MAXIMUM_PIXELS
from mlimages.images.preparation import prepare
from mlimages.images.rejection import Reason
from mlimages.images.settings import ImageSettings
from mlimages.images.verification import Verified, Verifier

HOSTILE = "tests.images.hostile:misbehave"


def test_processes_give_what_the_function_gives_in_this_process() -> None:
    settings = ImageSettings(resize="shorter", side=30, only_if_bigger=True)
    images = [encode(smooth(20 + i, 40), "JPEG" if i % 2 else "PNG") for i in range(40)]
    images += [b"", b"text", images[1][:200], encode(smooth(9, 9), "WEBP")]
    with Verifier(settings, workers=2) as verifier:
        futures = [verifier.submit(data) for data in images]
        results = [future.result() for future in futures]
    assert results == [prepare(data, settings) for data in images]
    assert {result.reason for result in results} == {
        *(None, Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.TRUNCATED)
    }


def test_bytes_that_need_no_change_are_the_very_object_that_came() -> None:
    data = encode(smooth(50, 40))
    with Verifier(workers=1) as verifier:
        result = verifier.submit(data).result()
    assert result.data is data
    expected = Verified(
        data, "JPEG", 50, 40, zlib.crc32(data), hashlib.md5(data, usedforsecurity=False).hexdigest()
    )
    assert result == expected


def test_batches_of_large_images_do_not_block_each_other() -> None:
    """Requests and responses of many times a socket's buffer, both ways at once."""
    settings = ImageSettings(resize="shorter", side=600, format="png")
    images = [encode(smooth(300, 300, seed=i), "PNG") + bytes(3_000_000) for i in range(6)]
    with Verifier(settings, workers=2) as verifier:
        futures = [verifier.submit(data) for data in images]
        assert all(len(future.result(60).data) > 10_000 for future in futures)


def test_images_travel_as_well_without_memory_that_is_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verification_process, "_shared_memory", lambda: -1)
    images = [encode(smooth(30 + i, 30, seed=i)) for i in range(100)]
    with Verifier(workers=2) as verifier:
        futures = [verifier.submit(data) for data in images]
        assert [future.result(60) for future in futures] == [
            prepare(data, verifier.settings) for data in images
        ]


@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        (b"sleep", Reason.DECODER_TIMED_OUT),
        (b"spin", Reason.DECODER_TIMED_OUT),
        (b"die", Reason.DECODER_FAILED),
        (b"exhaust", None),
    ],
)
def test_a_bad_image_costs_its_process_and_not_its_neighbours(
    bytes_: bytes, reason: Reason | None
) -> None:
    good = [encode(smooth(30, 30, seed=i)) for i in range(30)]
    with Verifier(workers=2, seconds=1.0, function=HOSTILE) as verifier:
        futures = [verifier.submit(data) for data in [*good[:15], bytes_, *good[15:]]]
        results = [future.result(60) for future in futures]
    bad = results.pop(15)
    assert bad.reason is (reason or Reason.DECODER_FAILED)
    assert [result.data for result in results] == good


def test_a_worker_killed_from_outside_loses_no_image(tmp_path: Path) -> None:
    (tmp_path / "mark.jpg").write_bytes(encode(smooth(33, 30)))
    with Verifier(workers=1, function=HOSTILE) as verifier:
        futures = [verifier.submit(encode(smooth(30, 30))) for _ in range(5)]
        futures.append(verifier.submit(b"die once " + bytes(tmp_path / "mark")))
        futures += [verifier.submit(encode(smooth(30, 30))) for _ in range(5)]
        assert [future.result(60).reason for future in futures] == [None] * 11
        before = verifier.process_ids()
        os.kill(before[0], signal.SIGKILL)  # while it waits
        assert verifier.submit(encode(smooth(30, 30))).result(60).reason is None
        assert verifier.process_ids() != before


def test_many_slow_images_of_one_batch_are_not_taken_for_one_that_hangs() -> None:
    with Verifier(workers=1, seconds=1.0, function=HOSTILE) as verifier:
        futures = [verifier.submit(b"slow 0.2") for _ in range(12)]
        assert {future.result(60).reason for future in futures} == {Reason.NOT_AN_IMAGE}


def test_closing_ends_the_processes_and_cancels_what_waits() -> None:
    with Verifier(workers=1, function=HOSTILE) as verifier:
        assert verifier.submit(b"x").result(60).reason is Reason.NOT_AN_IMAGE
        (process,) = verifier.process_ids()
        future = verifier.submit(b"sleep")
        time.sleep(0.1)
    with pytest.raises(CancelledError):
        future.result(1)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(RuntimeError, match="closed"):
        verifier.submit(b"x")


def test_processes_that_cannot_start_are_an_error_and_not_an_endless_loop() -> None:
    with (
        Verifier(workers=1, function="mlimages.no_such_module:nothing") as verifier,
        pytest.raises(MlimagesError, match="cannot be started"),
    ):
        verifier.submit(b"x").result(60)


def bomb() -> bytes:
    """A PNG of a few hundred bytes that asks for 30,000 x 30,000 pixels."""
    content = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + header + encode(smooth(9, 9), "PNG")[33:]


def test_a_decompression_bomb_is_turned_away_by_its_header() -> None:
    assert MAXIMUM_PIXELS < 30_000 * 30_000
    assert prepare(bomb(), ImageSettings()).reason is Reason.TOO_MANY_PIXELS


def test_each_limit_has_its_reason() -> None:
    frames = [encode(smooth(20, 20, seed=i)) for i in range(4)]
    from io import BytesIO

    from PIL import Image

    pictures = [Image.open(BytesIO(frame)) for frame in frames]
    for kind in ("GIF", "WEBP", "PNG"):
        animation = encode(pictures[0], kind, save_all=True, append_images=pictures[1:])
        settings = ImageSettings(maximum_frames=3)
        assert prepare(animation, settings).reason is Reason.TOO_MANY_FRAMES, kind
        settings = ImageSettings(maximum_frames=4)
        assert prepare(animation, settings).reason is None, kind
    photo = encode(smooth(60, 20))
    for settings, reason in (
        (ImageSettings(maximum_aspect=2.9), Reason.TOO_ELONGATED),
        (ImageSettings(maximum_pixels=1199), Reason.TOO_MANY_PIXELS),
        (ImageSettings(maximum_bytes=len(photo) - 1), Reason.TOO_MANY_BYTES),
        (ImageSettings(minimum_side=21), Reason.TOO_SMALL),
        (ImageSettings(maximum_aspect=3, minimum_side=20), None),
    ):
        assert prepare(photo, settings).reason is reason


def test_with_the_header_alone_a_cut_photo_passes() -> None:
    cut = encode(smooth(200, 200))[:-300]
    assert prepare(cut, ImageSettings()).reason is Reason.TRUNCATED
    assert prepare(cut, ImageSettings(check="header")).reason is None


@pytest.mark.parametrize(
    "values",
    [
        {"resize": "shorter"},
        {"side": 5},
        {"resize": "wider", "side": 5},
        {"quality": 0},
        {"maximum_pixels": MAXIMUM_PIXELS + 1},
        {"format": "bmp"},
    ],
)
def test_settings_out_of_range_are_refused(values: dict) -> None:
    with pytest.raises(InputError):
        ImageSettings(**values)


def test_settings_survive_json_and_name_unknown_keys() -> None:
    settings = ImageSettings(resize="border", side=9, quality=3)
    assert ImageSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(InputError, match="did you mean 'quality'"):
        ImageSettings.from_dict({"qualty": 3})
