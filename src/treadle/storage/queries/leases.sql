-- Queries about who may write a run's log.

-- name: lease
SELECT l.owner, l.renewed, l.duration FROM leases l JOIN runs r ON r.id = l.run WHERE r.run_id = ?;

-- name: token
-- The fence: a commit begins with it.
SELECT token FROM leases WHERE run = ?;

-- name: take_lease
INSERT OR REPLACE INTO leases (run, token, owner, renewed, duration) VALUES (?, ?, ?, ?, ?);

-- name: renew_lease
UPDATE leases SET renewed = ? WHERE run = ? AND token = ?;

-- name: give_up_lease
DELETE FROM leases WHERE run = ? AND token = ?;

-- name: delete_lease
DELETE FROM leases WHERE run = ?;
