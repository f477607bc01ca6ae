"""img2dataset over a list of addresses, in an interpreter of its own: see `benchmarks/fetch.py`.

Settings as its README advises for speed (https://github.com/rom1504/img2dataset#how-to-tweak-the-options):
a process a core, many threads each, webdataset files; `disable_all_reencoding` keeps originals.
A shard goes to one process at a time, so there are several for each.

Prints one JSON object: images, and the seconds from the start of its first shard to the end of its
last, by its own statistics, so that neither imports nor the start of its processes count.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Download `LIST` into `FOLDER`; MODE is raw or resized."""
    from img2dataset import download

    mode, listing, folder, retries = sys.argv[1:5]
    count, processes = len(Path(listing).read_text().split()), os.cpu_count() or 1
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
        processes_count=processes,
        thread_count=256,
        number_sample_per_shard=-(-count // (4 * processes)),
        timeout=10,
        retries=int(retries),
        enable_wandb=False,
        **how,
    )
    told = [json.loads(path.read_text()) for path in Path(folder).glob("*_stats.json")]
    seconds = max(shard["end_time"] for shard in told) - min(shard["start_time"] for shard in told)
    print(json.dumps({"images": sum(shard["successes"] for shard in told), "seconds": seconds}))


if __name__ == "__main__":
    main()
