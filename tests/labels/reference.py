"""The rules of the database written once more, slowly, with dictionaries and sets."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Fact = tuple[int, int, str, bool, float, str]  # row, category, source, present, confidence, kind


@dataclass
class World:
    """Everything that tags depend on."""

    num_categories: int
    edges: set[tuple[int, int]]  # (child, parent)
    facts: list[Fact]
    image_sources: list[set[str]]  # by row
    exhaustive: dict[str, set[int]] = field(default_factory=dict)
    pairs: set[tuple[int, int]] = field(default_factory=set)  # (cause, effect)

    def distances(self, category: int) -> dict[int, int]:
        """The category and its ancestors, with edges of the shortest path."""
        found, queue = {category: 0}, deque([category])
        while queue:
            here = queue.popleft()
            for child, parent in self.edges:
                if child == here and parent not in found:
                    found[parent] = found[here] + 1
                    queue.append(parent)
        return found


def derive(world: World, row: int, causes: str = "asserted") -> dict[int, tuple]:
    """Tags of an image: category -> (confidence, reason, because)."""
    up = {category: world.distances(category) for category in range(world.num_categories)}
    mine = [fact for fact in world.facts if fact[0] == row]
    denied = {c for _, c, _, present, _, _ in mine if not present}
    corrected = {c for _, c, _, present, _, kind in mine if not present and kind == "correction"}
    said: dict[int, float] = {}
    for _, c, _, present, confidence, _ in mine:
        if present and not corrected & up[c].keys():
            said[c] = max(said.get(c, 0), confidence)
    # A support: (itself, asserted, confidence, -edges, -category), greatest first.
    supports: dict[int, list[tuple]] = {}
    for c, confidence in said.items():
        for above, edges in up[c].items():
            supports.setdefault(above, []).append((above == c, True, confidence, -edges, -c))
    closed = {c: max(s[2] for s in found) for c, found in supports.items()}
    silent = set().union(*(world.exhaustive.get(s, set()) for s in world.image_sources[row]))
    added: dict[int, float] = {}
    for cause, effect in world.pairs:
        known_absent = (denied | (silent - closed.keys())) & up[effect].keys()
        acting = said if causes == "asserted" else closed
        if cause in acting and effect not in closed and not known_absent:
            added[effect] = max(added.get(effect, 0), acting[cause])
            support = (False, cause in said, acting[cause], 0, -cause)
            supports.setdefault(effect, []).append(support)
    for effect, confidence in added.items():
        for above, edges in up[effect].items():
            if edges:
                support = (False, False, confidence, -edges, -effect)
                supports.setdefault(above, []).append(support)
    tags = {}
    for c, found in supports.items():
        itself, _, _, edges, because = max(found)
        reason = "asserted" if itself else "ancestor" if edges else "cooccurrence"
        tags[c] = (max(s[2] for s in found), reason, -because)
    return tags
