-- Queries about the slots that runs share.

-- name: claims
-- All claims, with the lease of the run of each; there are a few for each run that goes.
SELECT c.id, r.run_id, c.step, c.token, c.slots, c.run_priority, c.step_priority, c.asked, c.seen, c.granted,
       l.token, l.owner, l.renewed, l.duration
FROM claims c JOIN runs r ON r.id = c.run LEFT JOIN leases l ON l.run = c.run ORDER BY c.id;

-- name: put_claim
-- Who asks again keeps the time of asking, and so the place among those who wait.
INSERT INTO claims (run, step, token, slots, run_priority, step_priority, asked, seen, granted)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, step) DO UPDATE SET
    slots = excluded.slots, run_priority = excluded.run_priority, step_priority = excluded.step_priority,
    seen = excluded.seen, granted = excluded.granted;

-- name: delete_claim
DELETE FROM claims WHERE id = ?;

-- name: give_back
DELETE FROM claims WHERE step = ? AND token = ?;

-- name: give_up_claims
DELETE FROM claims WHERE token = ?;

-- name: delete_claims
DELETE FROM claims WHERE run = ?;
