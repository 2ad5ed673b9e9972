"""Passwords in a worker's environment reach no function and no recorded data."""

import json
from urllib.parse import unquote, urlsplit

import pytest
from psycopg.sql import SQL, Identifier

from qexp.store.schema.tables import metadata

SOURCE = """
import os, subprocess, sys
import qexp
from qexp.settings import load
def f(way, context: qexp.Context):
    # a function sees no passwords, nor does what it starts
    print("environment", dict(os.environ))
    subprocess.run(["env"], check=True)
    # but qexp finds the services in both
    with qexp.attach(context.id) as attached:
        attached.metric(1, loss=1)
    code = f"import qexp\\nwith qexp.attach({context.id}) as context: context.metric(2, loss=2)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
    urls = (load().database_url, load().broker_url)
    # and what a function prints or raises is masked
    print("printed", *urls, flush=True)
    subprocess.run([sys.executable, "-c", "from qexp.settings import load; print(load().database_url)"], check=True)
    if way == "raises":
        raise ConnectionError(f"nobody answers at {urls}")
    if way == "crashes":
        print("last words", *urls, flush=True)
        os.kill(os.getpid(), 9)
    return {"environment": dict(os.environ)}
"""


@pytest.fixture(scope="module")
def urls(site):
    return {"QEXP_DATABASE_URL": site.database_url, "QEXP_BROKER_URL": site.broker_url, "QEXP_NOTIFY": ""}


@pytest.fixture(scope="module")
def worker(start_worker, queue, urls):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in urls.items():
            patch.setenv(name, value)
        return start_worker("-Q", queue, "-c", "2").await_ready()


@pytest.mark.parametrize("isolation", ["child", "process"])
def test_no_password_of_the_environment_reaches_a_function_or_a_row(study, worker, raw, urls, isolation):
    made = study(SOURCE, {"way": ["returns", "raises", "crashes"]}, isolation=isolation, retries={"delay": "0.1s"})
    made.enqueue()
    made.wait()
    rows = made.shown()
    outcomes = {row["params"]["way"]: row["attempts"][0]["outcome"] for row in rows}
    assert outcomes == {"returns": "done", "raises": "error", "crashes": "crashed"}
    # Then each function has found the services
    for row in rows:
        steps = raw.execute("SELECT step FROM metric WHERE experiment = %s AND attempt = 1", [row["id"]]).fetchall()
        assert sorted(steps) == [(1,), (2,)]
    # And no password is in any table
    passwords = [urlsplit(urls[name]).password for name in ("QEXP_DATABASE_URL", "QEXP_BROKER_URL")]
    passwords += [unquote(password) for password in passwords]
    texts = {}
    for table in metadata.tables:
        found = raw.execute(SQL("SELECT row_to_json(t)::text FROM {} AS t").format(Identifier(table))).fetchall()
        texts[table] = "\n".join(row[0] for row in found)
    assert [table for table, text in texts.items() if any(password in text for password in passwords)] == []
    # And the text around a masked password is stored
    raised = next(row for row in rows if row["params"]["way"] == "raises")["attempts"][0]
    assert "nobody answers at ('postgresql://" in raised["error_message"]
    assert ":***@" in raised["error_message"]
    assert ":***@" in raised["traceback"]
    query = "SELECT string_agg(text, '' ORDER BY position) FROM output WHERE experiment = %s AND attempt = 1"
    for row in rows:
        (text,) = raw.execute(query, [row["id"]]).fetchone()
        assert text.count("***") == 3 + 2 * (row["params"]["way"] == "crashes"), text
        assert "QEXP_DATABASE_URL" not in text
        assert "QEXP_HOME" in text
    assert "QEXP_DATABASE_URL" not in json.dumps(rows)
