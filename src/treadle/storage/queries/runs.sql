-- Queries about runs. `-- name:` begins each one; the comment below says what it is for.

-- name: add_run
-- A new run; fails where its id is taken.
INSERT INTO runs (run_id, job_name, status, snapshot_id, parent_run_id, created, updated, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_tag
INSERT INTO run_tags (run, key, value) VALUES (?, ?, ?);

-- name: delete_tags
DELETE FROM run_tags WHERE run = ?;

-- name: run_number
SELECT id FROM runs WHERE run_id = ?;

-- name: run_by_id
-- What a run's record is made of; its tags come as one JSON object.
SELECT r.id, r.body, r.status,
       (SELECT json_group_object(t.key, t.value) FROM run_tags t WHERE t.run = r.id),
       r.created, r.updated, r.started, r.ended
FROM runs r WHERE r.run_id = ?;

-- name: runs
-- The same of many runs; conditions, order and limit are put behind it.
SELECT r.id, r.body, r.status,
       (SELECT json_group_object(t.key, t.value) FROM run_tags t WHERE t.run = r.id),
       r.created, r.updated, r.started, r.ended
FROM runs r;

-- name: count_runs
-- Conditions are put behind it.
SELECT count(*) FROM runs r;

-- name: change_run
-- What the events of a commit change; a time that they do not tell stays as it is.
UPDATE runs SET
    status = coalesce(?, status),
    updated = max(updated, ?),
    enqueued = coalesce(?, enqueued),
    launched = coalesce(?, launched),
    started = coalesce(?, started),
    ended = coalesce(?, ended),
    materializations = materializations + ?,
    expectations = expectations + ?
WHERE id = ?;

-- name: touch_run
UPDATE runs SET updated = max(updated, ?) WHERE id = ?;

-- name: run_stats
SELECT r.enqueued, r.launched, r.started, r.ended, r.materializations, r.expectations,
       (SELECT count(*) FROM steps s WHERE s.run = r.id AND s.state = 'SUCCESS'),
       (SELECT count(*) FROM steps s WHERE s.run = r.id AND s.state = 'FAILURE')
FROM runs r WHERE r.run_id = ?;

-- name: steps
SELECT s.key, s.state, s.attempts, s.started, s.ended
FROM steps s JOIN runs r ON r.id = s.run WHERE r.run_id = ? ORDER BY s.number;

-- name: steps_of_run
-- All that a writer of the run has to know.
SELECT number, key, op, state, attempts, started, ended FROM steps WHERE run = ? ORDER BY number;

-- name: put_step
-- The summary of a step, new or changed.
INSERT INTO steps (op, state, attempts, started, ended, run, number, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, number) DO UPDATE SET
    op = excluded.op, state = excluded.state, attempts = excluded.attempts, started = excluded.started, ended = excluded.ended;

-- name: standings
-- What retention goes by, of all runs in the order in which they were added.
SELECT r.run_id, r.parent_run_id, r.status, coalesce(r.ended, r.updated) FROM runs r ORDER BY r.id;

-- name: children
-- Runs that follow a run.
SELECT run_id FROM runs WHERE parent_run_id = ?;

-- name: delete_run
DELETE FROM runs WHERE id = ?;

-- name: delete_steps
DELETE FROM steps WHERE run = ?;

-- name: delete_lost_texts
-- Texts that no run shares any more.
DELETE FROM texts WHERE id NOT IN (SELECT snapshot_id FROM runs WHERE snapshot_id IS NOT NULL);

-- name: put_text
INSERT OR IGNORE INTO texts (id, body) VALUES (?, ?);

-- name: get_text
SELECT body FROM texts WHERE id = ?;

-- name: put_value
INSERT OR REPLACE INTO vals (key, value) VALUES (?, ?);

-- name: get_value
SELECT value FROM vals WHERE key = ?;
