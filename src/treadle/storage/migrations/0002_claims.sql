-- Slots that the runs of a home share: what their steps have taken, and wait for.

-- A claim belongs to the lease whose token it has, and counts as long as that lease's owner is alive. `slots` is JSON, how many
-- of each name; `granted` is when it was granted, empty for a step that waits, and `seen` when that step last asked.
CREATE TABLE claims (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    step TEXT NOT NULL,
    token TEXT NOT NULL,
    slots TEXT NOT NULL,
    run_priority INTEGER NOT NULL,
    step_priority INTEGER NOT NULL,
    asked REAL NOT NULL,
    seen REAL NOT NULL,
    granted REAL,
    UNIQUE (run, step)
);
