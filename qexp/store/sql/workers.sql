-- register: a worker is there.
INSERT INTO worker (id, host, pid, name, queues, concurrency, "user", environment, boot)
VALUES (%(id)s, %(host)s, %(pid)s, %(name)s, %(queues)s, %(concurrency)s, %(user)s, %(environment)s, %(boot)s);

-- known: whether a worker is one of this database's. No row: it is not.
SELECT 1 FROM worker WHERE id = %(id)s;

-- beat: a worker is still there. True: it was taken for gone meanwhile, and what it ran was given to others.
WITH before AS (SELECT id, stopped_at FROM worker WHERE id = %(id)s FOR UPDATE)
UPDATE worker w
SET    stopped_at = NULL, last_seen = coalesce(%(now)s, now()), told_to_stop = %(stopping)s
FROM   before b WHERE w.id = b.id
RETURNING b.stopped_at IS NOT NULL, (SELECT site FROM leader), w.quarantine_reason;

-- unwanted: of what a worker's children are at, what is not theirs any more, and what is of a paused study.
-- No row: all of it is wanted.
SELECT post.id, post.attempt, e.status = 'running' AND e.worker = %(worker)s AND e.attempt = post.attempt
FROM   unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS post (id, attempt)
JOIN   experiment e ON e.id = post.id JOIN study s ON s.id = e.study
WHERE  NOT (e.status = 'running' AND e.worker = %(worker)s AND e.attempt = post.attempt) OR s.paused_at IS NOT NULL;

-- strays: what runs on a worker in processes that are at nothing, or are dead and nobody has noted it.
-- No row: there is nothing like that.
SELECT id, pid FROM experiment
WHERE  worker = %(worker)s AND status = 'running' AND pid <> ALL (%(busy)s::int[]);

-- silent: give up the workers that were not heard of for longer than the lease, and those that left something running.
-- A worker has died if others of its host are heard of, and it was not told to stop. No row: there are none.
WITH gone AS (
  SELECT id FROM worker w
  WHERE  (stopped_at IS NULL AND last_seen < coalesce(%(now)s, now()) - make_interval(secs => %(lease)s))
         OR (stopped_at < coalesce(%(now)s, now()) - make_interval(secs => %(lease)s)
             AND EXISTS (SELECT FROM experiment e WHERE e.worker = w.id AND e.status = 'running'))
  FOR    UPDATE SKIP LOCKED
)
UPDATE worker w SET stopped_at = coalesce(w.stopped_at, %(now)s, now()) FROM gone g WHERE w.id = g.id
RETURNING w.id, w.name, w.host, w.last_seen,
          NOT w.told_to_stop AND EXISTS (
            SELECT FROM worker o WHERE o.boot = w.boot AND o.id <> w.id AND o.stopped_at IS NULL
                   AND o.last_seen > coalesce(%(now)s, now()) - make_interval(secs => %(lease)s)),
          ARRAY(SELECT e.id FROM experiment e WHERE e.worker = w.id AND e.status = 'running');

-- leave: a worker has stopped.
UPDATE worker SET stopped_at = now(), last_seen = now() WHERE id = %(id)s;

-- lead: take the lease of the leader, or prolong it, and say whether there is anything for it to look after: what is open
-- and may move, a worker that went silent, a message to send. No row: another worker leads.
INSERT INTO leader (worker, until) VALUES (%(worker)s, coalesce(%(now)s, now()) + make_interval(secs => %(lease)s))
ON CONFLICT (one) DO UPDATE SET worker = EXCLUDED.worker, until = EXCLUDED.until
WHERE  leader.worker = EXCLUDED.worker OR leader.until < coalesce(%(now)s, now())
RETURNING site, xmax = 0,  -- a row that was inserted has none
  EXISTS (SELECT FROM study s WHERE  -- by the alphabet, the last three of all are pending, queued and running
            (SELECT max(e.status) FROM experiment e WHERE e.study = s.id)
            >= CASE WHEN s.paused_at IS NULL THEN 'pending' ELSE 'running' END)
  OR EXISTS (SELECT FROM worker w WHERE w.stopped_at IS NULL
             AND w.last_seen < coalesce(%(now)s, now()) - make_interval(secs => %(silence)s))
  OR EXISTS (SELECT FROM notice n WHERE n.sent_at IS NULL AND n.tries < %(tries)s
             AND n.created_at > coalesce(%(now)s, now()) - %(kept)s);

-- resign: give the lease up, so that another worker leads at once.
UPDATE leader SET until = now() WHERE worker = %(worker)s;
