"""img2dataset over a list of addresses, in an interpreter of its own: see `benchmarks/fetch.py`.

Its own settings are one process of 256 threads and shards of 10,000 images. "tuned" follows its
README (https://github.com/rom1504/img2dataset#how-to-tweak-the-options): a process a core, and more
threads as long as that is faster, which ends at 1,024 here; and one shard for each process, since a
process waits for the slowest answers of a shard before it begins the next.
`disable_all_reencoding` keeps originals.

Prints one JSON object: images, and the seconds from the start of its first shard to the end of its
last, by its own statistics, so that neither imports nor the start of its processes count.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Download `LIST` into `FOLDER`; MODE is raw or resized, SETTINGS default or tuned."""
    from img2dataset import download

    mode, settings, listing, folder, retries = sys.argv[1:6]
    pace = {}
    if settings == "tuned":
        count, processes = len(Path(listing).read_text().split()), os.cpu_count() or 1
        pace = {
            "processes_count": processes,
            "thread_count": 1024,
            "number_sample_per_shard": -(-count // processes),
        }
    how = {"resize_mode": "no", "disable_all_reencoding": True}
    if mode == "resized":
        how = {
            "resize_mode": "keep_ratio",
            "image_size": 256,
            "downscale_interpolation": "area",
            "encode_quality": 95,
        }
    download(
        url_list=listing,
        output_folder=folder,
        output_format="webdataset",
        timeout=10,
        retries=int(retries),
        enable_wandb=False,
        **pace,
        **how,
    )
    told = [json.loads(path.read_text()) for path in Path(folder).glob("*_stats.json")]
    seconds = max(shard["end_time"] for shard in told) - min(shard["start_time"] for shard in told)
    print(json.dumps({"images": sum(shard["successes"] for shard in told), "seconds": seconds}))


if __name__ == "__main__":
    main()
