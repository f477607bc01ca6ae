from __future__ import annotations

from pathlib import Path

import pytest
from tests.labels.exports import readers
from tests.labels.exports.databases import Sample, build
from tests.labels.tiny import DOG

pytest.importorskip("moto")


def test_a_database_in_an_object_store_is_exported_hashed_and_checked(tmp_path: Path) -> None:
    from tests.object_store import served_bucket

    images = [Sample(facts={"first": [(DOG, True, 0.9, "asserted")]}) for _ in range(7)]
    here = build(tmp_path / "DB", images)
    with served_bucket() as bucket:
        there = build(f"{bucket}/DB", images)
        assert there.compare(here).same
        assert there.check().passed
        there.export("webdataset", tmp_path / "there")
    here.export("webdataset", tmp_path / "here")
    found = readers.read_webdataset(tmp_path / "there")
    assert found == readers.read_webdataset(tmp_path / "here")
    assert len(found) == 7
