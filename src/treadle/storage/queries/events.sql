-- Queries about the logs.

-- name: last_event
-- The number of the newest entry; the writer holds the lock, so the next number is free.
SELECT coalesce(max(id), 0) FROM events;

-- name: add_event
INSERT INTO events (run, at, type, step, pid, body) VALUES (?, ?, ?, ?, ?, ?);

-- name: add_mark
INSERT INTO marks (type, event, run) VALUES (?, ?, ?);

-- name: log
-- Entries of one run, with the step of each; conditions, order and limit are put behind it.
SELECT e.id, e.at, e.type, s.key, s.op, e.pid, e.body
FROM events e LEFT JOIN steps s ON s.run = e.run AND s.number = e.step
WHERE e.run = ?;

-- name: marked
-- Events of one type that has marks, of all runs.
SELECT e.id, e.at, e.type, s.key, s.op, e.pid, e.body, e.run
FROM marks m JOIN events e ON e.id = m.event LEFT JOIN steps s ON s.run = e.run AND s.number = e.step
WHERE m.type = ?;

-- name: typed
-- Events of a type without marks, of all runs: a walk through all events.
SELECT e.id, e.at, e.type, s.key, s.op, e.pid, e.body, e.run
FROM events e LEFT JOIN steps s ON s.run = e.run AND s.number = e.step
WHERE e.type = ?;

-- name: run_of_number
SELECT r.run_id FROM runs r WHERE r.id = ?;

-- name: leave_last_number
-- Numbers are never used again: where the newest event is to be deleted, its row stays, empty, until a newer one is there.
UPDATE events SET run = 0, type = NULL, step = NULL, pid = NULL, body = NULL
WHERE id = (SELECT max(id) FROM events) AND run = ?;

-- name: delete_older_numbers
DELETE FROM events WHERE run = 0 AND id < (SELECT max(id) FROM events);

-- name: some_events
-- A piece of a run's log to delete, so that no transaction is long.
SELECT id FROM events WHERE run = ? LIMIT 2000;

-- name: delete_event
DELETE FROM events WHERE id = ?;

-- name: delete_marks
DELETE FROM marks WHERE run = ?;
