"""`mlimages tag`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from mlimages.cli.output import Json, emit, table
from mlimages.cli.rejects import reject_lines


def tag(
    photos: Annotated[
        Positional[list[Path]],
        tyro.conf.arg(metavar="PHOTO", help="Photos, or folders of them (searched recursively)."),
    ],
    *,
    model: str = "efficientnet-lite0",
    top: int = 10,
    threshold: float = 0.1,
    hierarchy: Literal["wordnet", "tencent"] = "wordnet",
    all_levels: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    include_sensitive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    device: str = "auto",
    json: Json = False,
) -> None:
    """Tag photos: names, confidences, and the path up the hierarchy; the most specific first.

    Files that cannot be read are named and counted; it fails when none can be.

    Example: mlimages tag photo.jpg

    Args:
        model: A run or checkpoint folder, or efficientnet-lite0.
        top: Most tags of a photo.
        threshold: Least confidence of a tag, from 0 to 1.
        hierarchy: Where paths lead: WordNet's hypernyms, or the released tree.
        all_levels: Show also those ancestors that are no surer than a tag below them.
        include_sensitive: Show categories of persons outside the reviewed roles too.
        device: auto, cpu or cuda.
    """
    from mlimages.errors import UsageError
    from mlimages.images.photos import PhotoReject, find_photos, none_readable
    from mlimages.tagging.loading import load_model
    from mlimages.tagging.tagger import Tagger

    if not photos:
        raise UsageError("mlimages tag", "no photos given", "name photos or a folder of them")
    files = find_photos(photos)
    tagger = Tagger(
        load_model(model, device),
        hierarchy=hierarchy,
        threshold=threshold,
        top=top,
        all_levels=all_levels,
        include_sensitive=include_sensitive,
    )
    results = tagger.tag(files)
    rejects = [PhotoReject(r.path, r.problem) for r in results if r.problem is not None]
    if len(rejects) == len(results):
        raise none_readable(rejects)
    tagged = [{"path": r.path, "tags": r.tags} for r in results if r.problem is None]
    blocks = []
    for result in results:
        if result.problem is None:
            rows = [
                [t.path[-1], f"{t.confidence:.2f}", " > ".join(t.path[:-1])] for t in result.tags
            ]
            shown = table(rows) if rows else f"nothing of {threshold} or more"
            blocks.append(f"{result.path}\n  " + shown.replace("\n", "\n  "))
    text = "\n\n".join(blocks)
    if rejects:
        text += "\n\n" + reject_lines(rejects, len(results))
    summary = {"model": model, "hierarchy": hierarchy, "threshold": threshold}
    emit(summary | {"photos": tagged, "rejects": rejects}, json, text)
