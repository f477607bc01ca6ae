"""Recipes: everything that decides a training run, as typed data, read from and written to TOML.

A recipe is a file of a few dozen lines; what it leaves out has the default of settings.py, which is
the paper's value wherever the paper has one. `section.key=value` changes one setting.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

from mlimages.errors import RecipeError, nearest
from mlimages.images.augmentation import AugmentationSettings
from mlimages.training.mixing import MixingSettings
from mlimages.training.operation import (
    CheckpointSettings,
    EvaluationSettings,
    HardwareSettings,
    LoggingSettings,
)
from mlimages.training.settings import (
    DataSettings,
    LossSettings,
    ModelSettings,
    OptimizerSettings,
    ScheduleSettings,
    Section,
)


@dataclass(frozen=True)
class RecipeFile(Section):
    """What every kind of recipe has, and how it is read and written."""

    name: str = "unnamed"
    description: str = ""
    expected: str = ""
    """The published or measured result, and where it was measured."""
    seed: int = 0
    """Of weights, order, augmentation and the loss's choice of negatives."""
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    hardware: HardwareSettings = field(default_factory=HardwareSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)

    def __post_init__(self) -> None:
        self.expect("seed", 0 <= self.seed < 2**63, "0 to 2**63 - 1")

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a TOML file.

        Raises:
            RecipeError: the file is missing or malformed, has an unknown key (the nearest known one
                is named), or a value of the wrong type or out of range.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            return cls.from_dict(tomllib.loads(text))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RecipeError(path, f"cannot be read ({reason})", "correct it") from None
        except RecipeError as error:
            raise RecipeError(f"{path}: {error.thing}", error.cause, error.action) from None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a recipe from nested plain values; raises as `read`."""
        return _build(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, complete; the inverse of `from_dict`."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """All settings as TOML; the inverse of `read`."""
        plain = self.to_dict()
        lines = [f"{k} = {_toml(v)}" for k, v in plain.items() if not isinstance(v, dict)]
        for section, values in plain.items():
            if isinstance(values, dict):
                lines += ["", f"[{section}]", *(f"{k} = {_toml(v)}" for k, v in values.items())]
        return "\n".join(lines) + "\n"

    def override(self, *changes: str) -> Self:
        """A copy with changes such as "optimizer.learning_rate=0.1" or "seed=3".

        Raises:
            RecipeError: a change is not of this form, or as `read`.
        """
        values = self.to_dict()
        for change in changes:
            key, equals, text = change.partition("=")
            if not equals:
                raise RecipeError(change, "is not of the form section.key=value", "correct it")
            target: dict[str, Any] = values
            *sections, last = key.strip().split(".")
            for section in sections:
                inner = target.get(section)
                if not isinstance(inner, dict):
                    raise _unknown(section, target, "")
                target = inner
            target[last] = _parse_value(text.strip())
        return self.from_dict(values)


@dataclass(frozen=True)
class Recipe(RecipeFile):
    """A whole training run."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    mixing: MixingSettings = field(default_factory=MixingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)


R = TypeVar("R", bound=RecipeFile)


def recipe_folders() -> list[Path]:
    """Where named recipes are: in an installed package, or at the root of a checkout."""
    package = Path(__file__).resolve().parent.parent
    return [package / "recipes", package.parent.parent / "recipes"]


def find_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by name, such as "photos", or by path; raises RecipeError."""
    return find_recipe_of(Recipe, name_or_path)


def find_recipe_of(kind: type[R], name_or_path: str | Path, below: str = "") -> R:
    """Read a recipe of another kind, whose named ones are in a folder below the recipes.

    Raises:
        RecipeError: as `RecipeFile.read`, or there is none of this name (the nearest is named).
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return kind.read(path)
    known: dict[str, Path] = {}
    for folder in reversed(recipe_folders()):
        known |= {file.stem: file for file in sorted((folder / below).glob("*.toml"))}
    if str(name_or_path) not in known:
        hint = nearest(str(name_or_path), known) if known else "name a .toml file"
        raise RecipeError(f"recipe {name_or_path}", "no such recipe", hint)
    return kind.read(known[str(name_or_path)])


def _build(kind: type, values: dict[str, Any], section: str) -> Any:
    hints = get_type_hints(kind)
    known = {item.name: hints[item.name] for item in dataclasses.fields(kind)}
    converted = {}
    for key, value in values.items():
        if key not in known:
            raise _unknown(key, known, section)
        converted[key] = _convert(known[key], value, f"{section}.{key}" if section else key)
    try:
        return kind(**converted)
    except ValueError as error:  # range checks of settings that other packages define
        raise RecipeError(section or "recipe", str(error), "correct it") from None


def _unknown(key: str, known: dict[str, Any], section: str) -> RecipeError:
    where = f"{section}.{key}" if section else key
    return RecipeError(where, "unknown key", nearest(key, known))


def _convert(kind: Any, value: Any, key: str) -> Any:
    """Check a plain value against a field's type; whole numbers are fine for fractions."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise RecipeError(key, f"{value!r} is not a section", f"write [{key}]")
        return _build(kind, value, key)
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise RecipeError(key, f"{value!r} is unknown", nearest(str(value), map(str, choices)))
        return value
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(key, f"{value!r} is not a list", "write [a, b]")
        kinds = get_args(kind)
        if kinds[-1] is not Ellipsis and len(kinds) != len(value):
            raise RecipeError(key, f"{value!r} needs {len(kinds)} values", "correct it")
        return tuple(_convert(kinds[0], item, key) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise RecipeError(key, "is too large a number", "correct it") from None
    if type(value) is not kind or value != value:
        raise RecipeError(key, f"{value!r} is not of type {kind.__name__}", "correct it")
    return value


def _parse_value(text: str) -> Any:
    """A TOML value; what is none is taken as a string, so that quotes may be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for one control character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
