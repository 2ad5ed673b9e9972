"""The methods of a study that read its experiments: their results, errors, output and files, and explanations."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from qexp.client.attempt_records import Records
from qexp.client.listings.artifacts import ArtifactFile, Artifacts
from qexp.client.listings.attempt_text import AttemptText
from qexp.client.listings.errors import ErrorGroups
from qexp.client.listings.experiments import ExperimentList
from qexp.client.listings.results import ResultList, flat_results
from qexp.client.named_study import ExperimentIds, NamedStudy, StatusNames
from qexp.model import Status
from qexp.store.selection.selectors import Selection

if TYPE_CHECKING:
    from qexp.client.experiment_queries import ExperimentDetails
    from qexp.client.explain import Explanation

_FOLLOW_INTERVAL = 0.5
"""Seconds between two looks at the output of a running attempt."""


class StudyReads(NamedStudy):
    """A study whose experiments can be read."""

    def experiments(
        self,
        ids: ExperimentIds = None,
        *,
        status: StatusNames = (),
        error: str | None = None,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        stale: bool | None = None,
        orphaned: bool = False,
        current: bool = False,
        sort: str | Iterable[str] = (),
        limit: int | None = None,
    ) -> ExperimentList:
        """
        Return experiments in the order of their ids, at most *limit*; a notebook shows them as a table.

        *sort* has names of columns, such as `"-accuracy"`: the largest accuracy comes first; see `qexp.load`.

        Each has `id`, `params`, `status`, `attempt`, `result` (None unless it is done), `error`, `host`, `started_at`,
        `duration` (seconds), and more. The conditions are those of `requeue`. For calculations, `frame` is faster.
        """
        chosen = self._chosen(
            ids,
            status,
            error=error,
            where=where,
            since=since,
            host=host,
            stale=stale,
            orphaned=orphaned,
            current=current,
        )
        return ExperimentList([] if chosen is None else self._client.experiments(chosen, limit, sort))

    def results(
        self,
        params: bool = False,
        *,
        ids: ExperimentIds = None,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        stale: bool | None = None,
        current: bool = False,
        sort: str | Iterable[str] = (),
        limit: int | None = None,
    ) -> ResultList:
        """
        Return the results of done experiments as flat dicts: `pd.DataFrame(study.results())`.

        A mapping in a result becomes an entry per key, with the name that frames give it, such as `train.acc`. *params*
        adds `id` and the parameters. The other arguments are those of `experiments`. `frame` also has the experiments
        that are not done, and typed columns.
        """
        chosen = self._chosen(ids, Status.DONE, where=where, since=since, host=host, stale=stale, current=current)
        views = [] if chosen is None else self._client.experiments(chosen, limit, sort)
        return flat_results(views, self._client.study(self.name), params)

    def show(self, experiment: int) -> ExperimentDetails:
        """
        Return all about one experiment: `.experiment`, and `.attempts` with their tracebacks.

        Raises UnknownExperimentError if the study has no experiment with this id.
        """
        (found,) = self._client.show(self._only(experiment))
        return found

    def errors(
        self,
        ids: ExperimentIds = None,
        *,
        error: str | None = None,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        current: bool = False,
    ) -> ErrorGroups:
        """
        Return the failed experiments by error, the largest group first; a notebook shows them as a table.

        Each group has `fingerprint` (the name that *error* and `requeue` take), `count`, `ids`, `failure`,
        `error_type`, `error_message` and `error_frame` (the place). The conditions are those of `requeue`.
        """
        chosen = self._chosen(ids, error=error, where=where, since=since, host=host, current=current)
        return ErrorGroups([] if chosen is None else self._client.errors(chosen))

    def explain(self, experiment: int) -> Explanation:
        """
        Say why an experiment waits, runs or has ended, with the commands that change this.

        It works while the broker is down, and writes nothing. Raises UnknownExperimentError if the study has no
        experiment with this id.
        """
        return self._client.explain(self._one(experiment))

    def logs(self, experiment: int, attempt: int | None = None) -> AttemptText:
        """
        Return the output of an attempt, by default the last one, also of its child processes and C code.

        A running attempt has its output so far; `follow` prints it while it comes. Raises ContextError if there is no
        such attempt, and UnknownExperimentError if the study has no experiment with this id.
        """
        printed = Records(self._client).output(self._one(experiment), attempt)
        return AttemptText(printed.text()[0], experiment, printed.attempt, printed.running)

    def follow(self, experiment: int, attempt: int | None = None) -> None:
        """Print the output of an attempt until the attempt ends, or you interrupt this. See `logs`."""
        self._one(experiment)
        records, end, running = Records(self._client), 0, True
        while running:
            printed = records.output(experiment, attempt, end)
            attempt, running = printed.attempt, printed.running
            text, end = printed.text(end)
            sys.stdout.write(text)
            sys.stdout.flush()
            if running:
                time.sleep(_FOLLOW_INTERVAL)

    def artifacts(
        self,
        name: str | None = None,
        ids: ExperimentIds = None,
        *,
        status: StatusNames = (),
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        current: bool = False,
    ) -> Artifacts:
        """
        Return the files that experiments kept, all or those with a *name*; a notebook shows them as a table.

        `.save(folder)` copies all of them. Each file has `read()`, `save(path)`, `experiment`, `attempt`, `name`,
        `size` (bytes), `sha256` and `url`. The conditions are those of `requeue`.
        """
        chosen = self._chosen(ids, status, where=where, since=since, host=host, current=current)
        records = Records(self._client)
        found = [] if chosen is None else records.artifacts(chosen)
        return Artifacts([ArtifactFile(**vars(item), records=records) for item in found if name in (None, item.name)])

    def _only(self, experiment: int) -> Selection:
        number = self._one(experiment)
        return Selection(self.name, ids=((number, number),))
