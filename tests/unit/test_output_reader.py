"""The stored part of an attempt's output, for output of any size and timing."""

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qexp.model import storable_text
from qexp.worker.context import output_reader
from qexp.worker.context.output_reader import Chunk, Output, render


@pytest.fixture
def file(tmp_path):
    return tmp_path / "1.out"


def append(file, data):
    with file.open("ab") as opened:
        opened.write(data)


def shown(data):
    return storable_text(data.decode("utf-8", "replace"))


def gaps_of(chunks):
    ends = [0, *(chunk.end for chunk in chunks)]
    return [(end, chunk.position) for end, chunk in zip(ends, chunks, strict=False) if chunk.position != end]


class Keeper:
    """A caller that stores chunks and deletes those that become the middle."""

    def __init__(self, *arguments, **options):
        self.reader, self.chunks = Output(*arguments, **options), []

    def take(self, final=False):
        self.chunks += self.reader.take(final)
        low, high = self.reader.obsolete
        self.chunks = [chunk for chunk in self.chunks if chunk.position < low or chunk.end > high]
        return self


BYTES = st.one_of(st.binary(max_size=30), st.text(max_size=20).map(str.encode))
WRITES = st.lists(st.one_of(st.none(), BYTES))
"""Writes in order; None: the reader reads."""


@settings(max_examples=300, deadline=None)
@example([b"\xc2\x00"], 1, 1, 4)
@given(WRITES, st.integers(1, 20), st.integers(1, 20), st.integers(4, 16))
def test_head_and_tail_are_kept_or_all_of_a_small_output(tmp_path_factory, writes, head, tail, piece):
    file = tmp_path_factory.mktemp("output") / "1.out"
    file.touch()
    # Given a reader that reads now and then, and at the end
    keeper = Keeper(file, head, tail)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_reader, "_PIECE", piece)
        for data in writes:
            keeper.take() if data is None else append(file, data)
        keeper.take(final=True)
    # Then a small output is shown whole
    stream, kept = file.read_bytes(), keeper.chunks
    total = keeper.reader.total
    assert total == len(stream)
    if not (gaps := gaps_of([*kept, Chunk(total, 0, "")])):
        assert render(kept, total) == shown(stream)
        return
    # Or its head, one line for the gap, and its tail with at most one extra chunk
    ((begin, end),) = gaps
    assert total > head + tail
    assert head - 3 <= begin <= head
    assert total - tail - piece < end <= total - tail + 3
    newline = "" if shown(stream[:begin])[-1:] in ("", "\n") else "\n"
    line = f"{newline}[… {end - begin:,} bytes left out …]\n"
    assert render(kept, total) == shown(stream[:begin]) + line + shown(stream[end:])


@pytest.mark.parametrize("text", ["ė", "€", "🧪"])
def test_a_character_that_comes_in_parts_is_read_in_one(file, text):
    append(file, b"")
    keeper = Keeper(file)
    for byte in text.encode():
        append(file, bytes([byte]))
        keeper.take()
    assert [chunk.text for chunk in keeper.chunks] == [text]


def test_a_character_that_stays_incomplete_is_shown_at_the_end(file):
    append(file, "ab€".encode()[:-1])
    reader = Output(file)
    assert [chunk.text for chunk in reader.take()] == ["ab"]
    assert reader.take(final=True) == [Chunk(2, 2, "�")]


def test_a_character_across_the_end_of_the_head_is_not_split(file):
    append(file, "ab€cd".encode())
    assert render(Output(file, head=3).take(final=True)) == "ab€cd"


def test_characters_that_postgres_cannot_store_become_visible(file):
    append(file, b"a\0b\xff\xed\xa0\x80")
    (chunk,) = Output(file).take(final=True)
    assert chunk == Chunk(0, 7, "a\\x00b����")


def test_long_output_comes_in_chunks_of_16_kb(file):
    append(file, b"x" * 40_000)
    assert [chunk.size for chunk in Output(file).take()] == [16_384, 16_384, 7_232]


def test_the_middle_of_much_output_is_not_even_read(file):
    append(file, b"x" * 1_000_000)
    chunks = Output(file).take()
    assert sum(chunk.size for chunk in chunks) == 2 * 65_536
    assert "[… 868,928 bytes left out …]" in render(chunks)


def test_an_earlier_tail_becomes_obsolete(file):
    append(file, b"0123456789")
    reader = Output(file, head=2, tail=4)
    reader.take()
    assert reader.obsolete == (2, 6)
    append(file, b"01")
    reader.take()
    assert reader.obsolete == (2, 8)


def test_nothing_of_a_small_output_is_obsolete(file):
    append(file, b"0123")
    reader = Output(file, head=3, tail=4)
    reader.take()
    low, high = reader.obsolete
    assert low == high


def test_a_file_of_more_than_64_mb_frees_its_disk_space_and_positions_continue(file):
    # Given more output than fits
    append(file, b"head\n")
    keeper = Keeper(file)
    for _ in range(65):
        append(file, b"x" * (1 << 20))
    size = file.stat().st_size
    # When the reader has read
    keeper.take()
    assert file.stat().st_blocks * 512 < 1 << 20
    # Then writers and readers continue at their positions
    append(file, b"\nend")
    keeper.take(final=True)
    assert keeper.reader.total == size + 4
    assert render(keeper.chunks).endswith("x\nend")
    # And a reader that resumes from before finds the rest
    rest = Output(file, position=5).take(final=True)
    assert rest == [Chunk(size, 4, "\nend")]


def test_a_file_that_somebody_emptied_is_read_from_its_beginning(file):
    append(file, b"before\n")
    keeper = Keeper(file).take()
    file.write_bytes(b"after\n")
    keeper.take(final=True)
    assert render(keeper.chunks) == "before\nafter\n"
    assert render(Output(file, position=7).take(final=True)) == "[… 7 bytes left out …]\nafter\n"


def test_a_reader_that_resumes_continues_after_the_last_chunk(file):
    append(file, b"x" * 100_000 + "€".encode()[:1])
    keeper = Keeper(file).take()
    append(file, "€".encode()[1:] + b"y" * 200_000)
    resumed = Output(file, position=keeper.chunks[-1].end)
    chunks = keeper.chunks + resumed.take(final=True)
    assert resumed.total == 300_003
    assert render(chunks, resumed.total).endswith("y" * 65_536)
    assert render(chunks).startswith("x" * 65_536)


def test_a_missing_file_has_nothing_to_read(file):
    reader = Output(file)
    assert reader.take() == reader.take(final=True) == []
    assert reader.total == 0


def test_a_reader_of_a_descriptor_outlives_it(file):
    append(file, b"text")
    fd = os.open(file, os.O_RDWR)
    reader = Output(fd)
    os.close(fd)
    assert render(reader.take(final=True)) == "text"
    assert reader.take() == []


def test_gaps_are_lines_of_their_own_wherever_they_are():
    chunks = [Chunk(9, 2, "b\n"), Chunk(4, 1, "a")]
    lines = ["[… 4 bytes left out …]", "a", "[… 4 bytes left out …]", "b", "[… 1,000 bytes left out …]"]
    assert render(chunks, 1011).splitlines() == lines
    assert render([]) == ""
