-- A statement that is given ids tests a status by IS TRUE. Otherwise the planner expects few rows of that status. For each
-- claim it then reads thousands of rows by the index on the status, instead of looking up the ids.
-- New values of a result replace the order and the entries of the same names in result_exact (see qexp/jsonb.py).
-- worker_deaths is compared with 2: DEATHS_BEFORE_ISOLATION in qexp/model/status.py.

-- queued: return the ids among many whose experiments are queued. No row: none is.
SELECT id FROM experiment WHERE id = ANY (%(ids)s::bigint[]) AND (status = 'queued') IS TRUE;

-- claim: take queued experiments for one attempt each. After two workers died with an experiment, it runs alone: a worker
-- has one such experiment at a time. No row: another message came first, it was cancelled, or its study is paused. Or the
-- worker is quarantined or unknown, or runs another experiment that must run alone.
WITH chosen AS (
  SELECT e.id FROM experiment e
  WHERE  e.id = ANY(%(ids)s::bigint[]) AND (e.status = 'queued') IS TRUE
         AND EXISTS (SELECT FROM worker w WHERE w.id = %(worker)s AND w.quarantined_at IS NULL)
         AND (e.worker_deaths < 2 OR NOT EXISTS (
               SELECT FROM experiment other
               WHERE  other.worker = %(worker)s AND other.status = 'running' AND other.worker_deaths >= 2))
  ORDER  BY e.id
  FOR    UPDATE OF e
)
UPDATE experiment e
SET    status = 'running', attempt = e.attempt + 1, revision = r.number, worker = %(worker)s, pid = %(pid)s,
       started_at = coalesce(%(now)s, now()), finished_at = NULL, result = NULL, result_exact = NULL, recorded_at = NULL,
       seconds_before = NULL, failure = NULL, error_fingerprint = NULL, reason = NULL, not_before = NULL
FROM   chosen c, study s JOIN revision r ON r.study = s.id AND r.number = s.revision
WHERE  e.id = c.id AND s.id = e.study AND s.paused_at IS NULL
RETURNING e.id, e.attempt, e.params, e.params_exact, e.fingerprint, e.worker_deaths, s.id, r.number;

-- revision: return the study and revision of a claim. No row: the study was deleted.
SELECT r.settings::text, s.parameters, s.name, s.function, s.folder, s.results, r.source, r.timeout, r.memory, r.isolation, r.output
FROM   study s JOIN revision r ON r.study = s.id
WHERE  s.id = %(study)s AND r.number = %(number)s;

-- undo: take back the claims of a process, as if they had not been made, except those that it has begun.
-- No row: it has no other claims.
WITH chosen AS (
  SELECT id FROM experiment
  WHERE  worker = %(worker)s AND status = 'running' AND pid = %(pid)s AND id <> ALL (%(begun)s::bigint[])
  ORDER  BY id
  FOR    UPDATE
)
UPDATE experiment e
SET    status = 'pending', attempt = e.attempt - 1, worker = NULL, pid = NULL, started_at = NULL
FROM   chosen c WHERE e.id = c.id
RETURNING e.id;

-- processes: return the processes of a worker that run experiments. No row: it runs nothing.
SELECT DISTINCT pid FROM experiment WHERE worker = %(worker)s AND status = 'running';

-- hand_over: make queued experiments pending that a worker may not claim, because it is quarantined or runs another
-- experiment that must run alone. No row: the claim failed for another reason.
WITH chosen AS (
  SELECT e.id, e.worker_deaths >= 2 AS alone FROM experiment e JOIN worker w ON w.id = %(worker)s
  WHERE  e.id = ANY(%(ids)s::bigint[]) AND (e.status = 'queued') IS TRUE
         AND (w.quarantined_at IS NOT NULL OR e.worker_deaths >= 2)
  ORDER  BY e.id
  FOR    UPDATE OF e
)
UPDATE experiment e
SET    status = 'pending', not_before = CASE WHEN c.alone THEN now() + interval '5 s' END
FROM   chosen c WHERE e.id = c.id
RETURNING e.id;

-- finish: end attempts with their results, fenced by worker and attempt. Their checkpoints are deleted; the caller
-- deletes the returned files. An outcome has lists of imports unless its process knows that they are stored. Moments are
-- seconds of the given clock. No row: another worker has the experiment.
WITH given AS (
  SELECT * FROM jsonb_to_recordset(%(outcomes)s::jsonb) AS g (
           id bigint, attempt int, result jsonb, result_exact jsonb, recorded_at jsonb, source text, began float8, ended float8,
           imported uuid, files text[], packages text[],
           cpu_seconds float8, peak_memory bigint, gpu_memory bigint, energy_kwh float8)
), chosen AS (
  SELECT e.id, e.attempt, e.started_at FROM experiment e
  WHERE  e.id = ANY(%(ids)s::bigint[]) AND (e.status = 'running') IS TRUE AND e.worker = %(worker)s
  ORDER  BY e.id
  FOR    UPDATE OF e
), timed AS (
  SELECT g.*, coalesce(coalesce(%(now)s, now()) - make_interval(secs => %(clock)s - g.began), c.started_at) AS start,
         coalesce(%(now)s, now()) - make_interval(secs => coalesce(%(clock)s - g.ended, 0)) AS stop
  FROM   chosen c JOIN given g ON g.id = c.id AND g.attempt = c.attempt
), ended AS (
  UPDATE experiment e
  SET    status = 'done', result = coalesce(e.result, '{}') || t.result, started_at = t.start,
         result_exact = CASE WHEN e.result_exact IS NULL THEN t.result_exact
                             ELSE e.result_exact - ARRAY(SELECT '=' || name FROM jsonb_object_keys(t.result) AS name)
                                  - 'order'::text || coalesce(t.result_exact, '{}') END,
         finished_at = greatest(t.stop, t.start),
         recorded_at = CASE WHEN t.recorded_at IS NULL THEN e.recorded_at
                            ELSE coalesce(e.recorded_at, '{}') || t.recorded_at END
  FROM   timed t
  WHERE  e.id = t.id
  RETURNING e.id, e.attempt, e.study, e.revision, e.worker, e.pid, e.started_at, e.finished_at
), dropped AS (
  DELETE FROM checkpoint c USING ended e WHERE c.experiment = e.id AND NOT c.keep RETURNING c.experiment, c.url
), registered AS (
  INSERT INTO imported (digest, files, packages)
  SELECT DISTINCT ON (imported) imported, files, packages FROM given WHERE files IS NOT NULL ORDER BY imported
  ON CONFLICT DO NOTHING
), written AS (
  INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome, source,
                       imported, cpu_seconds, peak_memory, gpu_memory, energy_kwh)
  SELECT e.id, e.attempt, e.study, e.revision, e.worker, e.pid, e.started_at, e.finished_at, 'done', g.source,
         g.imported, g.cpu_seconds, g.peak_memory, g.gpu_memory, g.energy_kwh
  FROM   ended e JOIN given g ON g.id = e.id
)
SELECT id, ARRAY(SELECT url FROM dropped d WHERE d.experiment = ended.id AND url IS NOT NULL),
       extract(epoch FROM finished_at - started_at)::float8 FROM ended;

-- recorded_before: return the attempts of a worker that already have this outcome. No row: none has.
SELECT a.experiment FROM attempt a JOIN unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS g (id, attempt)
       ON a.experiment = g.id AND a.number = g.attempt
WHERE  a.experiment = ANY(%(ids)s::bigint[]) AND a.worker = %(worker)s AND a.outcome = %(outcome)s;

-- states: return the studies and statuses of experiments. No row: they were deleted.
SELECT e.id, s.name, e.status FROM experiment e JOIN study s ON s.id = e.study WHERE e.id = ANY (%(ids)s::bigint[]);

-- kept_result: part of fail and depart: the result of an ended attempt, and the parts that it recorded before.
         CASE WHEN %(result)s::jsonb IS NULL THEN result ELSE coalesce(result, '{}') || %(result)s::jsonb END AS found,
         CASE WHEN result_exact IS NULL OR %(result)s::jsonb IS NULL THEN coalesce(%(result_exact)s::jsonb, result_exact)
              ELSE result_exact - ARRAY(SELECT '=' || name FROM jsonb_object_keys(%(result)s::jsonb) AS name)
                   - 'order'::text || coalesce(%(result_exact)s::jsonb, '{}')
         END AS found_exact,
         CASE WHEN %(recorded_at)s::jsonb IS NULL THEN recorded_at
              ELSE coalesce(recorded_at, '{}') || %(recorded_at)s::jsonb END AS found_at;

-- fail: end attempts by a failure. If retries are left, the next attempt waits, longer each time, and by up to a quarter
-- more or less. After a lost worker it is due now. An experiment whose worker dies a third time, while it runs alone,
-- has killed that worker. No row: other workers have the experiments.
WITH chosen AS (
  SELECT e.*, s.name AS study_name, r.source, r.retries, (
           SELECT count(*) FROM attempt a
           WHERE  a.experiment = e.id AND a.number > e.forgiven AND a.outcome = %(failure)s::text
         ) AS failures
  FROM   experiment e JOIN study s ON s.id = e.study JOIN revision r ON r.study = s.id AND r.number = s.revision
  WHERE  e.id = ANY(%(ids)s) AND (e.status = 'running') IS TRUE AND e.worker = %(worker)s
         AND e.attempt = coalesce(%(attempt)s, e.attempt) AND e.pid = coalesce(%(pid)s, e.pid)
  ORDER  BY e.id
  FOR    UPDATE OF e
), charged AS (
  SELECT *, %(worker_died)s AND worker_deaths >= 2 AS killed,
         CASE WHEN %(worker_died)s AND worker_deaths >= 2 THEN 'crashed' ELSE %(failure)s::text END AS how
  FROM   chosen
), judged AS (
  SELECT *, NOT killed AND failures < coalesce((retries ->> %(failure)s::text)::int, 0) AS again,
         CASE WHEN %(failure)s::text = 'lost' THEN 0
              ELSE least(3600, coalesce((retries ->> 'delay')::float8, 10) * 2 ^ least(failures, 20))
                   * (0.75 + 0.5 * random())
         END AS delay,
         {kept_result}
  FROM   charged
), ended AS (
  UPDATE experiment e
  SET    status = CASE WHEN j.again THEN 'pending' ELSE 'failed' END,
         failure = CASE WHEN NOT j.again THEN j.how END,
         worker_deaths = e.worker_deaths + %(worker_died)s::int,
         error_fingerprint = CASE WHEN NOT j.again THEN %(error_fingerprint)s END,
         not_before = CASE WHEN j.again THEN coalesce(%(now)s, now()) + make_interval(secs => j.delay) END,
         result = CASE WHEN NOT j.again THEN j.found END,
         result_exact = CASE WHEN NOT j.again THEN j.found_exact END,
         recorded_at = CASE WHEN NOT j.again THEN j.found_at END,
         started_at = CASE WHEN NOT j.again THEN e.started_at END,
         finished_at = CASE WHEN NOT j.again THEN coalesce(%(now)s, now()) END
  FROM   judged j
  WHERE  e.id = j.id
  RETURNING e.id, e.attempt, j.study_name, extract(epoch FROM coalesce(%(now)s, now()) - j.started_at)::float8 AS seconds,
            CASE WHEN j.again THEN j.delay END AS retry_in
), written AS (
  INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome, source,
                       error_type, error_message, error_frame, error_fingerprint, traceback, exit_signal, result, result_exact,
                       cpu_seconds, peak_memory, gpu_memory, energy_kwh)
  SELECT id, attempt, study, revision, worker, pid, started_at, coalesce(%(now)s, now()), how,
         coalesce(%(source)s, source), CASE WHEN killed THEN 'WorkerKilled' ELSE %(error_type)s END,
         CASE WHEN killed THEN 'it ran alone, and its worker died like the workers before: ' ELSE '' END
           || %(error_message)s, %(error_frame)s, %(error_fingerprint)s,
         %(traceback)s, %(exit_signal)s, found, found_exact, %(cpu_seconds)s, %(peak_memory)s, %(gpu_memory)s, %(energy_kwh)s
  FROM   judged
)
SELECT id, attempt, study_name, seconds, retry_in FROM ended ORDER BY id;

-- depart: end attempts that did not finish. A 'released' experiment runs again, a 'paused' one when a person resumes it.
-- An experiment that is given back more often than its retries allow fails. No row: other workers have the experiments.
WITH chosen AS (
  SELECT * FROM experiment
  WHERE  worker = %(worker)s AND status = 'running' AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
         AND attempt = coalesce(%(attempt)s, attempt)
  ORDER  BY id
  FOR    UPDATE
), counted AS (
  SELECT c.*, r.source, coalesce((now.retries ->> 'released')::int, 100) AS most, (
           SELECT count(*) FROM attempt a
           WHERE  a.experiment = c.id AND a.number > c.forgiven AND a.outcome = 'released') AS times,
         {kept_result}
  FROM   chosen c JOIN revision r ON r.study = c.study AND r.number = c.revision
         JOIN study s ON s.id = c.study JOIN revision now ON now.study = s.id AND now.number = s.revision
), judged AS (
  SELECT *, CASE WHEN %(outcome)s::text = 'released' AND times >= most THEN 'failed'
                 WHEN %(outcome)s::text = 'paused' THEN 'paused' ELSE 'pending' END AS next
  FROM   counted
), gone AS (
  UPDATE experiment e
  SET    status = j.next, reason = CASE WHEN j.next <> 'failed' THEN %(reason)s END,
         failure = CASE WHEN j.next = 'failed' THEN 'crashed' END,
         result = CASE WHEN j.next <> 'pending' THEN j.found END,
         result_exact = CASE WHEN j.next <> 'pending' THEN j.found_exact END,
         recorded_at = CASE WHEN j.next <> 'pending' THEN j.found_at END,
         started_at = CASE WHEN j.next <> 'pending' THEN e.started_at END,
         finished_at = CASE WHEN j.next <> 'pending' THEN coalesce(%(now)s, now()) END
  FROM   judged j
  WHERE  e.id = j.id
), written AS (
  INSERT INTO attempt (experiment, number, study, revision, worker, pid, started_at, finished_at, outcome, source,
                       error_type, error_message, result, result_exact, cpu_seconds, peak_memory, gpu_memory, energy_kwh)
  SELECT id, attempt, study, revision, worker, pid, started_at, coalesce(%(now)s, now()),
         CASE WHEN next = 'failed' THEN 'crashed' ELSE %(outcome)s END, coalesce(%(source)s, source),
         CASE WHEN next = 'failed' THEN 'ReleasedTooOften' END,
         CASE WHEN next = 'failed' THEN format('it was given back %%s times and never finished', times + 1) END,
         found, found_exact, %(cpu_seconds)s, %(peak_memory)s, %(gpu_memory)s, %(energy_kwh)s
  FROM   judged
)
SELECT id, study, extract(epoch FROM coalesce(%(now)s, now()) - started_at)::float8 FROM judged ORDER BY id;

-- adopt: return the claims of a process that it does not know, because the answer was lost. No row: there are none.
SELECT e.id, e.attempt, e.params, e.params_exact, e.fingerprint, e.worker_deaths, e.study, e.revision
FROM   experiment e
WHERE  e.worker = %(worker)s AND e.status = 'running' AND e.pid = %(pid)s AND e.id <> ALL (%(known)s::bigint[])
ORDER  BY e.id;

-- longest_recent: part of decline and wanted: the longest duration, in seconds, of study s's last experiments.
  SELECT max(extract(epoch FROM last.finished_at - last.started_at))
  FROM  (SELECT d.started_at, d.finished_at FROM experiment d
         WHERE  d.study = s.id AND d.status = 'done' ORDER BY d.id DESC LIMIT 50) last;

-- decline: leave a queued experiment to other workers if its study's last ones took longer than the given seconds.
-- No row: no last one took longer, or the experiment is not queued.
UPDATE experiment e
SET    status = 'pending', not_before = coalesce(%(now)s, now()) + interval '10 s'
FROM   study s
WHERE  e.id = %(id)s AND s.id = e.study AND e.status = 'queued' AND %(seconds)s < (
{longest_recent})
RETURNING e.id;

-- wanted: say whether queues have, or will have within a minute, an experiment that would end within the given seconds.
-- An entry study:NAME stands for one study on any queue. No row: they have none.
SELECT 1 FROM study s
WHERE  (s.queue = ANY(%(queues)s) OR 'study:' || s.name = ANY(%(queues)s)) AND s.paused_at IS NULL
       AND EXISTS (SELECT FROM experiment e
                   WHERE e.study = s.id AND (e.status = 'queued' OR (e.status = 'pending'
                         AND coalesce(e.not_before, '-infinity') < coalesce(%(now)s, now()) + interval '1 min')))
       AND NOT coalesce(%(seconds)s < (
{longest_recent}), false)
LIMIT  1;

-- name_results: add new names of results to a study, in the order of their arrival. No row: all were known.
UPDATE study
SET    results = results || ARRAY(SELECT name FROM unnest(%(names)s::text[]) AS name WHERE name <> ALL (results))
WHERE  id = %(study)s AND NOT results @> %(names)s::text[]
RETURNING results;

-- result_names: return the names of a study's results, in the order of their arrival. No row: it was deleted.
SELECT results FROM study WHERE id = %(study)s;
