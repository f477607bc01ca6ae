"""A vocabulary of nine categories for tests of the readers."""

from __future__ import annotations

from mlimages.taxonomy.categories import Taxonomy

OBJECT, ANIMAL, DOG, CAT, PERSON, VEHICLE, CAR, GROUND, ROAD = range(9)
KEYS = (
    "n00002684",  # object
    "n00015388",  # animal
    "n02084071",  # dog
    "n02121620",  # cat
    "n00007846",  # person
    "n04524313",  # vehicle
    "n02958343",  # car
    "own:ground",
    "own:road",
)
PARENTS = (-1, OBJECT, ANIMAL, ANIMAL, OBJECT, OBJECT, VEHICLE, -1, GROUND)
PUPPY = "n01322604"  # in WordNet below dog, not in the vocabulary
ENTITY = "n00001740"  # in WordNet above all of it
TAXONOMY = Taxonomy.from_keys(
    KEYS,
    PARENTS,
    [
        (key.partition(":")[2] or name,)
        for key, name in zip(
            KEYS,
            ("object", "animal", "dog", "cat", "person", "vehicle", "car", "ground", "road"),
            strict=True,
        )
    ],
)
