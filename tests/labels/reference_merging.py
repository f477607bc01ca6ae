"""Merging as plain Python over all images at once: what the package's must equal."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlimages.labels.identity import image_id, is_url
from mlimages.labels.reading import Reading
from mlimages.schemas import READING_IMAGES

PLACES = ("id", "uri", "split", "more_uris")
METADATA = [name for name in READING_IMAGES.names if name not in PLACES]


@dataclass
class PlainDatabase:
    """Images by row, their splits, and facts in the order in which they were said."""

    images: list[dict] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    facts: list[tuple] = field(default_factory=list)

    def merge(self, reading: Reading) -> None:
        """Take in a whole reading, image by image."""
        known = {record["id"]: record for record in self.images}
        said = set(self.facts)
        rows = []
        for position, found in enumerate(reading.images.to_pylist()):
            namesake = known.get(reading.namesakes.get(position, ""))
            if namesake is not None and found["uri"] in namesake["uris"]:
                record = namesake
            else:
                record = self._known(found, reading.source, known)
            if record is None:
                name = found["id"]
                if (own := reading.namesakes.get(position, name)) not in known:
                    name = own
                elif name in known:
                    name = image_id(found["uri"])
                record = {"row": len(self.images), "id": name, "sources": [], "uris": []}
                record |= dict.fromkeys(METADATA)
                known[name] = record
                self.images.append(record)
                self.splits.append(found["split"])
            if reading.source not in record["sources"]:
                record["sources"].append(reading.source)
            for uri in (found["uri"], *(found["more_uris"] or ())):
                if uri and uri not in record["uris"]:
                    record["uris"].append(uri)
            for key in METADATA:
                if record[key] is None:
                    record[key] = found[key]
            rows.append(record["row"])
        for fact in reading.facts.to_pylist():
            row = rows[fact.pop("image")]
            one = (row, fact["category"], reading.source, *list(fact.values())[1:])
            if one not in said:
                said.add(one)
                self.facts.append(one)

    def _known(self, found: dict, source: str, known: dict[str, dict]) -> dict | None:
        hashed = image_id(found["uri"]) if found["uri"] else None
        records = [known[name] for name in (found["id"], hashed or "") if name in known]
        uri = found["uri"]
        for record in records:
            if uri in record["uris"]:
                return record
        for record in records:
            places = record["uris"]
            copy = source in record["sources"] and all(
                is_url(uri or "") != is_url(place) for place in places
            )
            if not uri or not places or copy:
                return record
        return None
