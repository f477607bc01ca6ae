"""Fetching a list of addresses, beside img2dataset 1.47, from a web of photos on this machine.

The server shares the cores with both sides. It has 256 hosts and photos of about 94 kB, and answers
after 0.3 s in the middle, 0.45 s on average; in a second round, with faults for 30 % of the
addresses. Three ways: originals unchecked (which is what img2dataset does when it keeps originals),
originals with every image decoded to check it, and the shorter side scaled to 256 pixels. Sides run
in turns, each as a command of its own.

Both sides run with their own settings, which is what `fetch_vs_img2dataset_*` compares. The ratios
`fetch_vs_tuned_img2dataset_*` let img2dataset have the best settings for this machine instead: see
`peers/img2dataset_run.py`. Then both sides are bound by the processor, of which both take a good
part for what cannot be left out: `floor_*` are the milliseconds of one core that an image takes for
MD5, SHA-256 and CRC-32, and for its decoding with libjpeg-turbo.

A side's rate is by its own clock: ours from opening the database to the last commit, with every
shard synced (over many more addresses that waits for the disk); img2dataset's from the start of its
first shard to the end of its last.

    python benchmarks/fetch.py [--img2dataset PYTHON]

img2dataset runs in an environment of its own: that of PYTHON, or of MLIMAGES_IMG2DATASET; without
either one is made in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
import venv
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from harness import Outcome, main, watched
from inputs.photo_server import LASTING, draw_photos, fault_of, url_of
from PIL import Image

from mlimages.database import Database
from mlimages.images.decoding import decode

HERE = Path(__file__).resolve().parent
IMAGES, QUICK_IMAGES = {"raw": 24_000, "checked": 24_000, "resized": 12_000, "faulty": 12_000}, 400
REPETITIONS = 3
FAULTS = 0.3
VERSION = "1.47.0"
MOST_DIFFERENCE = 3.0
"""Levels of 255, on average over an image: two decoders and two encodings."""
RESIZE = {"resize": "shorter", "side": 256, "interpolation": "area", "format": "jpeg"}
OURS = {
    "raw": ["--check", "header", "--keep-metadata"],
    "checked": ["--keep-metadata"],
    "resized": [f"--{name}={value}" for name, value in RESIZE.items()] + ["--quality=95"],
}
THEIRS = {"raw": "raw", "checked": "raw", "resized": "resized"}
SETTINGS = {"default": "img2dataset", "tuned": "tuned img2dataset"}


def measure(quick: bool, work: Path) -> Outcome:
    """Both sides at no faults in all three ways, then at 30 % faults."""
    outcome, peer = Outcome(), peer_python()
    counts = dict.fromkeys(IMAGES, QUICK_IMAGES) if quick else IMAGES
    with serving(0.0) as port:
        lists = {way: write_list(work / way, counts[way], port) for way in OURS}
        agree(work, lists["resized"], peer)
        for _ in range(1 if quick else REPETITIONS):
            for way in OURS:
                run_ours(outcome, work, lists[way], way)
                if way != "checked":
                    for settings in SETTINGS:
                        run_theirs(outcome, work, lists[way], way, peer, settings)
    with serving(FAULTS) as port:
        listing = write_list(work / "faulty", counts["faulty"], port)
        fetched = run_ours(outcome, work, listing, "checked", " at 30 % faults")
        run_theirs(outcome, work, listing, "raw", peer, label=" at 30 % faults", retries=2)
    lasting = sum(fault_of(number, FAULTS) in LASTING for number in range(counts["faulty"]))
    if fetched != counts["faulty"] - lasting:
        raise SystemExit(f"error: {fetched} images, {lasting} of {counts['faulty']} are lost")
    summarise(outcome)
    return outcome


def summarise(outcome: Outcome) -> None:
    """Medians, and the ratios that are claimed."""
    rates = {name: statistics.median(values) for name, values in outcome.raw.items()}
    peaks = outcome.peak_gb
    for way, theirs in THEIRS.items():
        for name in SETTINGS.values():
            ratio = rates[f"mlimages {way}, images a second"]
            ratio /= rates[f"{name} {theirs}, images a second"]
            outcome.ratios[f"fetch_vs_{name.replace(' ', '_')}_{way}"] = ratio
    outcome.ratios["fetch_memory_vs_img2dataset"] = max(
        peaks[f"mlimages {way}"] / peaks[f"img2dataset {theirs}"] for way, theirs in THEIRS.items()
    )
    outcome.ratios["every_retryable_image_at_30_percent_faults"] = 1.0
    photos = draw_photos()
    outcome.raw["floor_hashing, ms an image"] = [milliseconds(photos, hash_all)]
    outcome.raw["floor_decoding, ms an image"] = [milliseconds(photos, decode_least)]


def milliseconds(photos: list[bytes], function: Callable[[bytes], object]) -> float:
    """Processor time of an image, on average."""
    begun = time.process_time()
    for photo in photos:
        function(photo)
    return (time.process_time() - begun) / len(photos) * 1e3


def hash_all(photo: bytes) -> None:
    """What a fetched image and its shard are known by."""
    hashlib.md5(photo, usedforsecurity=False).digest()
    hashlib.sha256(photo).digest()
    zlib.crc32(photo)


def decode_least(photo: bytes) -> None:
    """The cheapest way in which libjpeg-turbo reads every bit of a photo."""
    decode(photo, minimum_side=1)


def run_ours(outcome: Outcome, work: Path, listing: Path, way: str, label: str = "") -> int:
    """Fetch into a new database; how many images came."""
    folder = work / "ours"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    database = build(folder, listing)
    options = ["--allow-private-addresses", "--json", *OURS[way]]
    command = [sys.executable, "-m", "mlimages", "fetch", str(database), *options]
    output, seconds, peak = watched(command, work)
    report = json.loads(output)
    note(outcome, f"mlimages {way}{label}", report["fetched"], report["seconds"], seconds, peak)
    return report["fetched"]


def run_theirs(
    outcome: Outcome,
    work: Path,
    listing: Path,
    way: str,
    peer: str,
    settings: str = "default",
    label: str = "",
    retries: int = 0,
) -> None:
    """Have img2dataset download the same list."""
    folder = work / "theirs"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    script = str(HERE / "peers" / "img2dataset_run.py")
    command = [peer, script, way, settings, str(listing), str(folder), str(retries)]
    output, seconds, peak = watched(command, work)
    told = json.loads(output.splitlines()[-1])
    name = f"{SETTINGS[settings]} {way}{label}"
    note(outcome, name, told["images"], told["seconds"], seconds, peak)


def note(outcome: Outcome, name: str, images: int, own: float, whole: float, peak: float) -> None:
    """Keep the figures of one run."""
    outcome.raw.setdefault(f"{name}, images a second", []).append(images / own)
    outcome.raw.setdefault(f"{name}, images", []).append(images)
    times = outcome.raw.setdefault(f"{name}, seconds of the command", [])
    times.append(whole)
    outcome.seconds[name] = statistics.median(times)
    outcome.peak_gb[name] = max(peak, outcome.peak_gb.get(name, 0.0))


def agree(work: Path, listing: Path, peer: str) -> None:
    """Check that both sides give the same originals, and resized photos that look alike."""
    short = work / "short"
    short.write_text("\n".join(listing.read_text().splitlines()[:64]) + "\n")
    for way in OURS:
        run_ours(Outcome(), work, short, way)
        run_theirs(Outcome(), work, short, THEIRS[way], peer)
        ours, theirs = our_images(work / "ours" / "DB"), their_images(work / "theirs")
        if len(ours) != 64 or ours.keys() != theirs.keys():
            raise SystemExit(f"error: {len(ours)} {way} images here, {len(theirs)} there")
        for url, data in ours.items():
            if way == "resized":
                compare_pixels(url, data, theirs[url])
            elif data != theirs[url]:
                raise SystemExit(f"error: different bytes of {url}")


def compare_pixels(url: str, ours: bytes, theirs: bytes) -> None:
    """Stop when two resized images have different sizes, or look different."""
    first, second = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)
        for data in (ours, theirs)
    )
    if first.shape != second.shape:
        raise SystemExit(f"error: {url} is {first.shape} here, {second.shape} there")
    difference = float(np.abs(first - second).mean())
    if difference > MOST_DIFFERENCE:
        raise SystemExit(f"error: {url} differs by {difference:.1f} of 255 levels on average")


def our_images(root: Path) -> dict[str, bytes]:
    """Bytes by address."""
    database = Database.open(root)
    urls = dict(enumerate(uris[0] for uris in database.store.table("images")["uris"].to_pylist()))
    rows = database.store.table("shards/index", ["row"])["row"].to_pylist()
    reader = database.reader()
    return {urls[row]: reader.read(row) for row in rows}


def their_images(folder: Path) -> dict[str, bytes]:
    """Bytes by address, which lies beside each image as JSON."""
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            members = {
                member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
                for member in archive
            }
        for name, data in members.items():
            if name.endswith(".jpg"):
                about = json.loads(members[name.removesuffix(".jpg") + ".json"])
                found[about["url"]] = data
    return found


def build(folder: Path, listing: Path) -> Path:
    """A database of a list of addresses, nothing fetched yet."""
    folder.mkdir(parents=True)
    table = folder / "list.csv"
    lines = [f"{url},dog" for url in listing.read_text().split()]
    table.write_text("uri,tags\n" + "\n".join(lines) + "\n")
    command = [sys.executable, "-m", "mlimages", "import", "table", str(table), str(folder / "DB")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "DB"


def write_list(path: Path, count: int, port: int) -> Path:
    """A text file of addresses."""
    path.write_text("\n".join(url_of(number, port) for number in range(count)) + "\n")
    return path


@contextmanager
def serving(faults: float) -> Iterator[int]:
    """A web of photos in a process of its own, and its port."""
    command = [sys.executable, str(HERE / "inputs" / "photo_server.py"), "0", str(faults)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split()[1])
        finally:
            process.terminate()


def peer_python() -> str:
    """The interpreter that has img2dataset; see the top of this file."""
    named = os.environ.get("MLIMAGES_IMG2DATASET")
    if named:
        return named
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder /= f"mlimages/img2dataset-{VERSION}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        packages = [f"img2dataset=={VERSION}", "setuptools<81"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return str(python)


if __name__ == "__main__":
    if "--img2dataset" in sys.argv:
        place = sys.argv.index("--img2dataset")
        os.environ["MLIMAGES_IMG2DATASET"] = sys.argv[place + 1]
        del sys.argv[place : place + 2]
    main("Fetching", measure, ["numpy", "pyarrow", "simplejpeg"], writes=True)
