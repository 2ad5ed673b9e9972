-- register: store a new worker.
INSERT INTO worker (id, host, pid, name, queues, concurrency, "user", environment, boot)
VALUES (%(id)s, %(host)s, %(pid)s, %(name)s, %(queues)s, %(concurrency)s, %(user)s, %(environment)s, %(boot)s);

-- known: say whether this database has a worker. No row: it does not.
SELECT 1 FROM worker WHERE id = %(id)s;

-- beat: store a heartbeat. True: the worker was silent for too long, and other workers have its experiments.
WITH before AS (SELECT id, stopped_at FROM worker WHERE id = %(id)s FOR UPDATE)
UPDATE worker w
SET    stopped_at = NULL, last_seen = coalesce(%(now)s, now()), told_to_stop = %(stopping)s
FROM   before b WHERE w.id = b.id
RETURNING b.stopped_at IS NOT NULL, (SELECT site FROM leader), w.quarantine_reason;

-- unwanted: return the attempts of a worker's children that are no longer theirs, or whose study is paused.
-- No row: there are none.
SELECT post.id, post.attempt, e.status = 'running' AND e.worker = %(worker)s AND e.attempt = post.attempt,
       s.name, e.status = 'cancelled'
FROM   unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS post (id, attempt)
JOIN   experiment e ON e.id = post.id JOIN study s ON s.id = e.study
WHERE  NOT (e.status = 'running' AND e.worker = %(worker)s AND e.attempt = post.attempt) OR s.paused_at IS NOT NULL;

-- strays: return a worker's experiments that have the status running, but no busy process. No row: there are none.
SELECT id, pid FROM experiment
WHERE  worker = %(worker)s AND status = 'running' AND pid <> ALL (%(busy)s::int[]);

-- silent: end the workers without a heartbeat for longer than the lease, and those that stopped and left experiments running.
-- A worker died if other workers of its host send heartbeats, and it was not told to stop. No row: there are none.
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

-- deregister: store that a worker stopped.
UPDATE worker SET stopped_at = now(), last_seen = now() WHERE id = %(id)s;

-- lead: take the leader's lease or prolong it, and say whether the leader has work. Work is an open experiment of a study
-- that is not paused, a silent worker, or a notification to send. No row: another worker leads.
INSERT INTO leader (worker, until) VALUES (%(worker)s, coalesce(%(now)s, now()) + make_interval(secs => %(lease)s))
ON CONFLICT (one) DO UPDATE SET worker = EXCLUDED.worker, until = EXCLUDED.until
WHERE  leader.worker = EXCLUDED.worker OR leader.until < coalesce(%(now)s, now())
RETURNING site, xmax = 0,  -- 0 in an inserted row
  EXISTS (SELECT FROM study s WHERE  -- pending, queued and running are the last of all statuses by the alphabet
            (SELECT max(e.status) FROM experiment e WHERE e.study = s.id)
            >= CASE WHEN s.paused_at IS NULL THEN 'pending' ELSE 'running' END)
  OR EXISTS (SELECT FROM worker w WHERE w.stopped_at IS NULL
             AND w.last_seen < coalesce(%(now)s, now()) - make_interval(secs => %(silence)s))
  OR EXISTS (SELECT FROM notice n WHERE n.sent_at IS NULL AND n.tries < %(tries)s
             AND n.created_at > coalesce(%(now)s, now()) - %(kept)s);

-- resign: give the lease up, so that another worker can lead.
UPDATE leader SET until = now() WHERE worker = %(worker)s;
