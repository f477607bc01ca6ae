"""Tasks in processes of this machine, and what happens when these are lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import REPOSITORY
from tests.execution import functions

from mlimages.errors import ExecutionError, InputError
from mlimages.execution.local import LocalPool
from mlimages.execution.run import run


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_has_its_result_once(workers: int) -> None:
    found = list(run(functions.square, range(20), workers=workers))
    assert sorted(found) == [(n, n * n) for n in range(20)]


def test_one_worker_is_this_process() -> None:
    assert {pid for _, pid in run(functions.process_id, range(3))} == {os.getpid()}


def test_two_workers_are_two_other_processes() -> None:
    pids = {pid for _, pid in run(functions.process_id, range(8), workers=2)}
    assert os.getpid() not in pids
    assert len(pids) == 2


def test_results_can_be_had_in_the_order_of_the_tasks() -> None:
    arrival = [task for task, _ in run(functions.slow_first, range(6), workers=2)]
    assert arrival[0] != 0
    in_order = [task for task, _ in run(functions.slow_first, range(6), workers=2, ordered=True)]
    assert in_order == list(range(6))


def test_tasks_are_taken_only_when_there_is_room() -> None:
    taken = []

    def tasks():
        for number in range(50):
            taken.append(number)
            yield number

    results = run(functions.slow_first, tasks(), workers=2, ordered=True)
    next(results)
    assert len(taken) <= 8
    results.close()


def test_processes_share_the_cores() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    code = (
        "from tests.execution.functions import threads_of; from mlimages.execution.run import run\n"
        "from mlimages.execution.local import cores\n"
        "if __name__ == '__main__':\n"
        "    found = {t for _, t in run(threads_of, range(4), workers=2)}\n"
        "    assert found == {str(max(1, cores() // 2))}, found\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=REPOSITORY, env=environment, timeout=60
    )


def test_the_task_of_a_killed_worker_is_redone(tmp_path: Path) -> None:
    tasks = [(str(tmp_path), number) for number in range(4)]
    found = sorted(result for _, result in run(functions.die_once, tasks, workers=2))
    assert found == [0, 1, 2, 3]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"xx"}


def test_a_task_that_always_ends_its_worker_is_named() -> None:
    with pytest.raises(ExecutionError, match=r"task 2: its worker ended 4 times.*SIGKILL"):
        list(run(functions.die, range(6), workers=2))


def test_a_worker_killed_while_idle_is_replaced() -> None:
    with LocalPool(functions.square, 1) as pool:
        pool.submit(0, 3)
        assert pool.wait() == [(0, 9)]
        (pid,) = pool.process_ids()
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        pool.submit(1, 4)
        assert pool.wait() == [(1, 16)]
        assert pool.process_ids() != [pid]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_function_is_raised_here(workers: int) -> None:
    with pytest.raises(InputError, match="three: is not wanted; leave it out"):
        list(run(functions.refuse_three, range(6), workers=workers))


def test_an_unexpected_error_says_where_it_came_from() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(run(functions.divide, [0, 1], workers=2))
    assert "in divide" in "".join(caught.value.__notes__)


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(Exception, match=r"pickle|local object"):
        list(run(functions.unpicklable, [0, 1], workers=2))


def test_nothing_runs_on_when_the_caller_has_enough() -> None:
    results = run(functions.process_id, range(100), workers=2)
    _, pid = next(results)
    results.close()
    assert not alive(pid)


def test_workers_and_engine_are_checked() -> None:
    with pytest.raises(InputError, match="0 workers"):
        list(run(functions.square, [1], workers=0))
    with pytest.raises(InputError, match="engine 'spark'"):
        list(run(functions.square, [1], engine="spark"))  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_workers_end_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    code = (
        "from tests.execution.functions import note_and_wait\n"
        "from mlimages.execution.run import run\n"
        "import sys, signal\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    list(run(note_and_wait, [(sys.argv[1], n) for n in range(2)], workers=2))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    )
    pids = eventually(lambda: sorted(tmp_path.iterdir()), lambda found: len(found) == 2)
    parent.send_signal(number)
    assert parent.wait(timeout=20) != 0
    eventually(lambda: [p for p in pids if alive(int(p.name))], lambda left: not left)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(look, good, seconds: float = 30.0):
    end = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found
