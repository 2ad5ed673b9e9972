-- claim: take a queued experiment for one attempt. No row: another message came first, or it was cancelled.
UPDATE experiment e
SET    status = 'running', attempt = e.attempt + 1, revision = r.number, worker = %(worker)s, pid = %(pid)s,
       started_at = coalesce(%(now)s, now()), finished_at = NULL, result = NULL, failure = NULL, error_fingerprint = NULL
FROM   study s JOIN revision r ON r.study = s.id AND r.number = s.revision
WHERE  e.id = %(id)s AND e.status = 'queued' AND s.id = e.study
RETURNING e.id, e.attempt, e.worker, e.params, s.id, s.name, s.function, s.folder, r.settings, s.results;

-- finish: end an attempt, fenced by worker and attempt. No row: it was presumed dead and is someone else's by now.
WITH ended AS (
  UPDATE experiment
  SET    status = CASE WHEN %(failure)s::text IS NULL THEN 'done' ELSE 'failed' END, result = %(result)s,
         failure = %(failure)s, error_fingerprint = %(error_fingerprint)s, finished_at = coalesce(%(now)s, now())
  WHERE  id = %(id)s AND status = 'running' AND worker = %(worker)s AND attempt = %(attempt)s
  RETURNING *
)
INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome,
                     error_type, error_message, error_frame, error_fingerprint, traceback)
SELECT id, attempt, study, revision, worker, pid, started_at, finished_at, coalesce(failure, 'done'),
       %(error_type)s, %(error_message)s, %(error_frame)s, error_fingerprint, %(traceback)s
FROM   ended
RETURNING experiment;

-- crash: end the attempts of a process that died. No row: it was running none.
WITH ended AS (
  UPDATE experiment
  SET    status = 'failed', failure = 'crashed', error_fingerprint = %(error_fingerprint)s,
         finished_at = coalesce(%(now)s, now())
  WHERE  worker = %(worker)s AND pid = %(pid)s AND status = 'running' AND id = ANY(%(ids)s)
  RETURNING *
)
INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome,
                     error_type, error_message, error_fingerprint)
SELECT id, attempt, study, revision, worker, pid, started_at, finished_at, failure,
       %(error_type)s, %(error_message)s, error_fingerprint
FROM   ended
RETURNING experiment;

-- release: give back what a worker runs when it must stop at once. No row: it was running none.
WITH back AS (
  UPDATE experiment
  SET    status = 'pending'
  WHERE  worker = %(worker)s AND status = 'running'
  RETURNING *
)
INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome)
SELECT id, attempt, study, revision, worker, pid, started_at, coalesce(%(now)s, now()), 'released'
FROM   back
RETURNING experiment, study;

-- give_back: end an attempt whose process was told to stop, without charging it. No row: it was given back already.
WITH back AS (
  UPDATE experiment
  SET    status = 'pending'
  WHERE  id = %(id)s AND status = 'running' AND worker = %(worker)s AND attempt = %(attempt)s
  RETURNING *
)
INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome)
SELECT id, attempt, study, revision, worker, pid, started_at, coalesce(%(now)s, now()), 'released'
FROM   back
RETURNING experiment;

-- register: a worker is there.
INSERT INTO worker (id, host, pid, name, queues, concurrency)
VALUES (%(id)s, %(host)s, %(pid)s, %(name)s, %(queues)s, %(concurrency)s);

-- leave: a worker has stopped.
UPDATE worker SET stopped_at = now() WHERE id = %(id)s;

-- name_results: results of new names become columns of the study, in the order they came. No row: all were known.
UPDATE study
SET    results = results || ARRAY(SELECT name FROM unnest(%(names)s::text[]) AS name WHERE name <> ALL (results))
WHERE  id = %(study)s AND NOT results @> %(names)s::text[]
RETURNING results;
