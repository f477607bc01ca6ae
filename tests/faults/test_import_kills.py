"""An import killed in the middle of its stream: the old generation stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.labels.tiny import TAXONOMY

from mlimages.database import Database
from mlimages.labels.reading import ReadingBuilder

# Partitions of four images: several are written before the stream stands still.
IMPORT = """
import sys, time
from mlimages.database import Database
from mlimages.labels.reading import ReadingBuilder

def chunks():
    for number in range(9):
        builder = ReadingBuilder("s", "table")
        for image in range(3):
            name = f"n{3 * number + image}"
            builder.add_fact(builder.add_image(name, f"/p/{name}.jpg", name), image)
        yield builder.build()
        if number == 6 and sys.argv[2] == "stop":
            print("in the middle", flush=True)
            time.sleep(600)

Database.open(sys.argv[1]).add(chunks())
"""


def test_a_killed_stream_leaves_the_old_generation_and_its_files_are_swept(tmp_path: Path) -> None:
    root = tmp_path / "DB"
    database = Database.create(root, TAXONOMY, partition_rows=4)
    builder = ReadingBuilder("s", "table")
    builder.add_fact(builder.add_image("n1", "/p/n1.jpg", "n1") or 0, 8)
    database.add(builder.build())
    before = {name: database.store.table(name) for name in ("images", "facts", "splits")}

    command = [sys.executable, "-c", IMPORT, str(root)]
    process = subprocess.Popen([*command, "stop"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    process.kill()
    process.communicate()
    assert len(list(root.glob("images/*"))) > 1, "nothing was written before the kill"
    database = Database.open(root)
    assert database.check().passed
    for name, table in before.items():
        assert database.store.table(name).equals(table)

    subprocess.run([*command, "go on"], check=True)
    database = Database.open(root)
    assert database.check().passed
    assert database.store.num_rows("images") == 27
    named = {entry.path for entry in database.store.entries("images")}
    others = {f"images/{path.name}" for path in root.glob("images/*")} - named
    assert others <= database.store.manifest.retired.keys()
