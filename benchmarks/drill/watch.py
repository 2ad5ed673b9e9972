"""Samples of the site twice a second, which separate unexplained pauses from those of faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg
import redis

from benchmarks.drill.judge import Sample
from benchmarks.drill.storm import STUDY, Storm
from benchmarks.site import Site
from qexp.errors import QexpError
from qexp.queueing import broker
from qexp.queueing.messages import level
from qexp.store.connection import RawConnection

_EVERY = 0.5
_QUERY = """
SELECT s.paused_at IS NOT NULL, e.queued, e.due, e.running, e.later,
       (SELECT split_part(w.name, '@', 1) || ' for ' || round(extract(epoch FROM l.until - now())) || ' s'
        FROM leader l LEFT JOIN worker w ON w.id = l.worker),
       (SELECT count(*) || ' (' || count(*) FILTER (WHERE w.last_seen < now() - interval '10 s') || ' silent for 10 s)'
        FROM worker w WHERE w.stopped_at IS NULL),
       (SELECT string_agg(r.id || ' since ' || round(extract(epoch FROM now() - r.started_at)) || ' s on '
                          || coalesce(split_part(w.name, '@', 1), '?'), ', ' ORDER BY r.started_at)
        FROM experiment r LEFT JOIN worker w ON w.id = r.worker WHERE r.study = s.id AND r.status = 'running')
FROM   study s, LATERAL (
         SELECT count(*) FILTER (WHERE status = 'queued') AS queued,
                count(*) FILTER (WHERE status = 'pending' AND coalesce(not_before, now()) <= now()) AS due,
                count(*) FILTER (WHERE status = 'pending' AND not_before > now()) AS later,
                count(*) FILTER (WHERE status = 'running') AS running
         FROM   experiment WHERE study = s.id
       ) e
WHERE  s.name = %s
"""


class Watch:
    """A thread that samples the site until it is stopped."""

    def __init__(self, site: Site, storm: Storm) -> None:
        self._site, self._storm = site, storm
        self._raw: RawConnection | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.samples: list[Sample] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Sequence[Sample]:
        """Stop, and return the samples."""
        self._stop.set()
        self._thread.join(10)  # with a timeout: the service may not answer
        return self.samples

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            before = self._storm.broken
            try:
                seen = self._look()
            except (psycopg.Error, redis.RedisError, QexpError, OSError) as error:
                self._raw, seen = None, {"broken": (type(error).__name__,)}
            # a fault may start or end during the query
            broken = tuple(sorted({*before, *self._storm.broken, *seen.pop("broken", ())}))
            self.samples.append(Sample(time.time(), broken, self._storm.able, **seen))

    def _look(self) -> dict[str, Any]:
        if self._raw is None:
            self._raw = self._site.raw()
        row = self._raw.execute(_QUERY, [STUDY]).fetchone()
        if row is None:
            return {"broken": ("no study",)}
        paused, queued, due, running, later, leader, workers, at = row
        with self._site.broker() as connection:
            backlog = broker.waiting(connection, [(STUDY, level(0))])[STUDY, level(0)]
        rest = {
            "later": later,
            "leader": leader,
            "workers not given up": workers,
            "at work": at,
            "messages": backlog.number,
            "next": backlog.next_ids[:5],
        }
        return {"paused": paused, "queued": queued, "due": due, "running": running, "rest": rest}
