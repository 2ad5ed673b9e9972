"""What a process has claimed and not begun, or ended and not recorded: a file, so that its death costs none of it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qexp.store.hot import Done


@dataclass(frozen=True)
class Held:
    """What a ledger holds."""

    claimed: Sequence[int] = ()
    """Ids that the process was about to claim together, in the order in which it runs them."""
    done: Sequence[Done] = ()

    def unbegun(self, current: int | None) -> list[int]:
        """Return what was claimed and not begun, by a process that is at *current*."""
        begun = {item.id for item in self.done} | {current}
        return [number for number in self.claimed if number not in begun]


class Ledger:
    """Written by one process, read by others when it is dead. OSError: there is no room for it."""

    def __init__(self, folder: Path, pid: int) -> None:
        self._file = os.open(folder / f"held-{pid}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def intend(self, ids: Sequence[int], items: Sequence[Done] = ()) -> None:
        """Begin anew: these ids are about to be claimed, and these results to be recorded; what else was held is."""
        os.ftruncate(self._file, 0)
        self._write("\n".join([json.dumps(list(ids)), *(item.text for item in items)]))

    def add(self, item: Done) -> None:
        """Note a result that is to be recorded together with the next ones."""
        self._write(item.text)

    def clear(self) -> None:
        """Hold nothing any more."""
        os.ftruncate(self._file, 0)

    def _write(self, line: str) -> None:
        data = f"{line}\n".encode()
        if os.write(self._file, data) != len(data):
            raise OSError("the disk is full")


def held(folder: Path, pid: int) -> Held:
    """Return what a process holds, or held when it died; a line that it could not end counts for nothing."""
    try:
        text = (folder / f"held-{pid}").read_text(encoding="utf-8")
    except FileNotFoundError:
        return Held()
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    if not lines:
        return Held()
    claimed, *rest = lines
    return Held(
        claimed, [Done(facts["id"], facts["study"], tuple(facts["result"]), json.dumps(facts)) for facts in rest]
    )


def holders(folder: Path) -> list[int]:
    """Return the ids of the processes that have a ledger in a worker's folder."""
    return [int(path.name.removeprefix("held-")) for path in folder.glob("held-*")]
