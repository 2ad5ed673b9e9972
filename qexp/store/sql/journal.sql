-- current: say whether an attempt still runs; its own worker gives its id too. No row: it is over.
SELECT 1 FROM experiment
WHERE  id = %(id)s AND attempt = %(attempt)s AND status = 'running' AND worker = coalesce(%(worker)s, worker);

-- record: store parts of a result, with their times. No row: the attempt is over.
UPDATE experiment
SET    result = coalesce(result, '{}') || %(result)s::jsonb,
       result_exact = CASE WHEN result_exact IS NULL THEN %(result_exact)s::jsonb
                           ELSE result_exact - ARRAY(SELECT '=' || name FROM jsonb_object_keys(%(result)s::jsonb) AS name)
                                || coalesce(%(result_exact)s::jsonb, '{}') END,
       recorded_at = coalesce(recorded_at, '{}') || %(recorded_at)s::jsonb
WHERE  id = %(id)s AND attempt = %(attempt)s AND status = 'running' AND worker = coalesce(%(worker)s, worker)
RETURNING id;

-- points: add points to one series; a step that is stored already takes the newer value.
INSERT INTO metric (experiment, attempt, name, step, value, at)
SELECT %(id)s, %(attempt)s, %(name)s, step, value, to_timestamp(at)
FROM   unnest(%(steps)s::bigint[], %(values)s::float8[], %(ats)s::float8[]) AS point (step, value, at)
ON CONFLICT (experiment, attempt, name, step) DO UPDATE SET value = EXCLUDED.value, at = EXCLUDED.at;

-- entries: append rows to lists; the keys make it safe to repeat.
INSERT INTO entry (experiment, attempt, list, key, data, at)
SELECT %(id)s, %(attempt)s, list, key, data::json, to_timestamp(at)
FROM   unnest(%(lists)s::text[], %(keys)s::uuid[], %(rows)s::text[], %(ats)s::float8[]) AS row (list, key, data, at)
ON CONFLICT DO NOTHING;

-- print: store pieces of output.
INSERT INTO output (experiment, attempt, position, size, text)
SELECT %(id)s, %(attempt)s, position, size, text
FROM   unnest(%(positions)s::bigint[], %(sizes)s::int[], %(texts)s::text[]) AS piece (position, size, text)
ON CONFLICT DO NOTHING;

-- forget: drop the pieces of output that lie between two positions.
DELETE FROM output
WHERE  experiment = %(id)s AND attempt = %(attempt)s AND position >= %(first)s AND position + size <= %(last)s;

-- printed: return how many bytes of an attempt's output were stored so far.
SELECT coalesce(max(position + size), 0) FROM output
WHERE  experiment = %(id)s AND attempt = %(attempt)s;

-- checkpoint: replace a checkpoint while the attempt still runs, and return the URL of the old one, which the caller
-- deletes. No row: the attempt is over.
WITH before AS (SELECT url FROM checkpoint WHERE experiment = %(id)s AND name = %(name)s)
INSERT INTO checkpoint (experiment, name, attempt, kind, size, sha256, data, url, keep, progress)
SELECT id, %(name)s, attempt, %(kind)s, %(size)s, %(sha256)s, %(data)s, %(url)s, %(keep)s,
       %(progress)s::jsonb || jsonb_build_object('recorded', coalesce(result, '{}'), 'recorded_exact', coalesce(result_exact, '{}'),
                                             'recorded_at', coalesce(recorded_at, '{}'))
FROM   experiment
WHERE  id = %(id)s AND attempt = %(attempt)s AND status = 'running' AND worker = coalesce(%(worker)s, worker)
ON CONFLICT (experiment, name) DO UPDATE
SET    attempt = EXCLUDED.attempt, kind = EXCLUDED.kind, size = EXCLUDED.size, sha256 = EXCLUDED.sha256,
       data = EXCLUDED.data, url = EXCLUDED.url, keep = EXCLUDED.keep, progress = EXCLUDED.progress,
       at = now()
RETURNING (SELECT url FROM before);

-- stored: return a checkpoint as it was saved last. No row: there is none.
SELECT kind, data, url, sha256, attempt, progress FROM checkpoint WHERE experiment = %(id)s AND name = %(name)s;

-- carry: copy to an attempt the rows of lists that the previous attempt appended before its checkpoint.
INSERT INTO entry (experiment, attempt, list, key, data, at)
SELECT experiment, %(attempt)s, list, key, data, at FROM entry
WHERE  experiment = %(id)s AND attempt = %(before)s AND key <= %(last)s
ON CONFLICT DO NOTHING;

-- continued: store the total time of the attempts that this one continues. No row: it is over.
UPDATE experiment
SET    seconds_before = (SELECT sum(extract(epoch FROM a.finished_at - a.started_at)) FROM attempt a
                         WHERE a.experiment = %(id)s AND a.number = ANY(%(before)s::int[]))
WHERE  id = %(id)s AND attempt = %(attempt)s AND status = 'running' AND worker = coalesce(%(worker)s, worker)
RETURNING id;

-- artifact: store a file that an attempt has left. No row: the attempt is over.
INSERT INTO artifact (experiment, attempt, name, url, size, sha256)
SELECT id, attempt, %(name)s, %(url)s, %(size)s, %(sha256)s
FROM   experiment
WHERE  id = %(id)s AND attempt = %(attempt)s AND status = 'running' AND worker = coalesce(%(worker)s, worker)
ON CONFLICT (experiment, attempt, name) DO UPDATE
SET    url = EXCLUDED.url, size = EXCLUDED.size, sha256 = EXCLUDED.sha256, at = now()
RETURNING experiment;

-- stored_artifact: say whether an attempt has an artifact of a name. No row: it has none, or its experiment was deleted.
SELECT 1 FROM artifact WHERE experiment = %(id)s AND attempt = %(attempt)s AND name = %(name)s;
