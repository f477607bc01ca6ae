from __future__ import annotations

import pytest

from mlimages.errors import InputError
from mlimages.execution.parts import Part, missing


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_task_belongs_to_one_part(count: int) -> None:
    parts = [Part.parse(f"{i + 1}/{count}") for i in range(count)]
    assert all(sum(part.takes(task) for part in parts) == 1 for task in range(50))


def test_part_i_of_n_takes_the_tasks_that_leave_i_minus_1() -> None:
    assert [task for task in range(12) if Part.parse("2/5").takes(task)] == [1, 6, 11]


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "3", "1/0", "-1/3", "a/b", "1/3/2", "", "1/3x", "¹/3"]
)
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Part.parse(text)


def test_missing_parts_are_named() -> None:
    assert missing([Part(3, 4), Part(1, 4)]) == [Part(2, 4), Part(4, 4)]
    assert missing([Part(1, 1)]) == []


def test_parts_of_different_divisions_are_refused() -> None:
    with pytest.raises(InputError, match="of 2 and of 3"):
        missing([Part(1, 2), Part(2, 3)])
    with pytest.raises(InputError, match="none"):
        missing([])
