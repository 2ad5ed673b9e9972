"""How durably a worker commits what it claims and what comes out."""

import os

import pytest

NUMBER = 80
"""The first 40 go one by one, the others together."""


@pytest.fixture
def commits(raw):
    """Say how the changes of a study's experiments to a status were committed."""
    raw.execute(
        "CREATE TABLE committed (study bigint, status text, how text);"
        "CREATE FUNCTION committed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  INSERT INTO committed VALUES (NEW.study, NEW.status, current_setting('synchronous_commit')); RETURN NULL;"
        "END $$;"
        "CREATE TRIGGER committed AFTER UPDATE OF status ON experiment FOR EACH ROW EXECUTE FUNCTION committed()"
    )

    def commits(study):
        rows = raw.execute(
            "SELECT c.status, c.how, count(*)::int FROM committed c JOIN study s ON s.id = c.study "
            "WHERE s.name = %s AND c.status IN ('running', 'done') GROUP BY 1, 2",
            [study],
        )
        return {(status, how): number for status, how, number in rows}

    yield commits
    raw.execute("DROP TRIGGER committed ON experiment; DROP FUNCTION committed; DROP TABLE committed")


@pytest.mark.parametrize(("durability", "how"), [("strict", "on"), ("relaxed", "off")])
def test_results_are_committed_as_the_site_says(study, start_worker, commits, queue, durability, how):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "QEXP_DURABILITY", durability)
        worker = start_worker("-Q", queue, "-c", "2", "--pool", "prefork").await_ready()
    made = study("def f(x):\n    return {'y': x}\n", {"x": list(range(NUMBER))})
    made.enqueue()
    assert made.wait() == 0
    found = commits(made.name)
    assert found["done", how] == NUMBER
    claims = {kind: number for (status, kind), number in found.items() if status == "running"}
    assert sum(claims.values()) == NUMBER
    assert claims[how]
    # strict, too, a claim of a short experiment does not wait: its result brings it to the disk
    assert claims.keys() == {how, "off"}
    worker.kill()
