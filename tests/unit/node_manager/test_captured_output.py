"""What an executor's code prints and logs, and how much of it is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from node_manager.allowance import LAST_LINES, MOST_AT_ONCE, MOST_EVENTS, LineAllowance, Purse
from node_manager.executor.captured_output import Printed


class Kept:
    def __init__(self):
        self.lines = []

    def log(self, level, text):
        self.lines.append((level, text))


def test_printed_lines_are_log_lines_and_an_open_one_waits_for_its_end():
    kept = Kept()
    stream = Printed(kept, "stdout")
    print("one\ntwo", file=stream)
    print("half", end="", file=stream)
    assert kept.lines == [("stdout", "one"), ("stdout", "two")]
    print(" whole", file=stream)
    print("10 %\r50 %\r100 %", file=stream)
    print("no end", end="", file=stream)
    stream.finish()
    assert [text for _, text in kept.lines[2:]] == ["half whole", "100 %", "no end"]


def test_lines_that_threads_print_at_once_stay_whole():
    kept = Kept()
    stream = Printed(kept, "stdout")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: [stream.write(f"{n}-{i}\n") for i in range(200)], range(8)))
    assert sorted(text for _, text in kept.lines) == sorted(f"{n}-{i}" for n in range(8) for i in range(200))


def test_bytes_written_below_the_text_are_lines_and_a_character_may_come_in_pieces():
    kept = Kept()
    stream = Printed(kept, "stderr")
    whole = "caf\u00e9\n".encode()
    assert stream.buffer.write(whole[:4]) == 4
    stream.buffer.write(memoryview(whole)[4:])
    stream.buffer.write(b"\xff\n")
    stream.buffer.flush()
    assert kept.lines == [("stderr", "caf\u00e9"), ("stderr", "\ufffd")]


def test_too_many_lines_are_left_out_and_counted():
    allowance = LineAllowance()
    asked = [allowance.take(10, 1.0) for _ in range(MOST_AT_ONCE + 30)]
    assert asked == [0] * MOST_AT_ONCE + [None] * 30
    assert allowance.take(10, 2.0) == 30
    assert allowance.left_out() == 0


def test_there_is_an_end_to_lines_and_to_text():
    allowance = LineAllowance()
    taken = sum(allowance.take(10, second * 100.0) is not None for second in range(MOST_EVENTS + 500))
    assert taken == MOST_EVENTS - LAST_LINES
    assert allowance.left_out() == 500 + LAST_LINES
    wide = LineAllowance()
    assert sum(wide.take(3 << 20, second * 1.0) is not None for second in range(5)) == 2


def test_what_an_executor_keeps_to_of_its_own_accord_is_within_what_is_taken_of_it():
    allowance, purse = LineAllowance(), Purse({})
    lines = 0
    for tick in range(3 * MOST_EVENTS):  # twice as many a second as are let through
        left_out = allowance.take(60, tick * 0.01)
        lines += 0 if left_out is None else 1 + bool(left_out)
    assert lines > MOST_EVENTS / 2
    assert all(purse.take("log", 60) for _ in range(lines + LAST_LINES))
