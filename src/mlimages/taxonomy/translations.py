"""Names of categories in other languages, from a table `key<TAB>language<TAB>name`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlimages.errors import InputError, UnknownCategoryError
from mlimages.taxonomy.packaged import read_rows

NAMES_HEADER = "key\tlanguage\tname"


class Translations:
    """Names by key and language."""

    def __init__(self, rows: Sequence[tuple[str, str, str]] = ()) -> None:
        """Take (key, language, name) rows, any number a key."""
        self._names: dict[str, dict[str, list[str]]] = {}
        self._keys: dict[str, list[str]] = {}
        for key, language, name in rows:
            self._names.setdefault(key, {}).setdefault(language, []).append(name)
            known = self._keys.setdefault(name.lower(), [])
            if key not in known:
                known.append(key)

    def keys(self) -> list[str]:
        """The keys that have names, in the order of the rows."""
        return list(self._names)

    def of(self, key: str) -> dict[str, tuple[str, ...]]:
        """The names of a key by language, in the order of the rows."""
        return {language: tuple(names) for language, names in self._names.get(key, {}).items()}

    def text(self, key: str) -> str:
        """The names of a key in one line: "de: Hund, Köter; fr: chien"."""
        return "; ".join(f"{language}: {', '.join(n)}" for language, n in self.of(key).items())

    def find(self, name: str) -> str | None:
        """The key with a name in any language, whatever the case; None when there is none.

        Raises:
            UnknownCategoryError: several keys have it; lists them.
        """
        keys = self._keys.get(name.strip().lower(), [])
        if len(keys) > 1:
            raise UnknownCategoryError(
                repr(name), f"is a name of {len(keys)} keys", f"give a key: {', '.join(keys)}"
            )
        return keys[0] if keys else None


def read_translations(path: Path | str) -> Translations:
    """Read a table of names; a key is a wnid, a namespace:key or a foreign class's key.

    Raises:
        InputError: as `read_rows`; an empty field.
    """
    rows = []
    for place, fields in read_rows(Path(path), NAMES_HEADER, "names in other languages"):
        key, language, name = map(str.strip, fields)
        if not (key and language and name):
            raise InputError(place, "an empty field", "give key, language and name")
        rows.append((key, language, name))
    return Translations(rows)
