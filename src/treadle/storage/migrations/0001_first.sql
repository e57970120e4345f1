-- The first schema. Never change this file: a later schema is a file of its own.

-- One row a run. What is looked for or changes has a column of its own, the rest stands in `body`, as JSON.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    job_name TEXT NOT NULL,
    status TEXT NOT NULL,
    snapshot_id TEXT,
    parent_run_id TEXT,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    enqueued REAL,
    launched REAL,
    started REAL,
    ended REAL,
    materializations INTEGER NOT NULL DEFAULT 0,
    expectations INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL
);
CREATE INDEX runs_by_status ON runs (status);
CREATE INDEX runs_by_job ON runs (job_name);
CREATE INDEX runs_by_created ON runs (created);
CREATE INDEX runs_by_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;

CREATE TABLE run_tags (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX runs_by_tag ON run_tags (key, value, run);

-- The summary of a run's steps, written in the transaction of the events that it sums up: views read this alone.
-- `op` is the name of the op's definition where it is not the last part of the step's path.
CREATE TABLE steps (
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    op TEXT,
    state TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    started REAL,
    ended REAL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;

-- The log. A row without a type is a message of user code. `step` is the number of a row of `steps`.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    at REAL NOT NULL,
    type TEXT,
    step INTEGER,
    pid INTEGER,
    body TEXT
);
CREATE INDEX events_by_run ON events (run);

-- Events that are looked for over all runs: those about whole runs, about assets, and failures.
CREATE TABLE marks (
    type TEXT NOT NULL,
    event INTEGER NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (type, event)
) WITHOUT ROWID;
CREATE INDEX marks_by_run ON marks (run);

-- Who may write a run's log.
CREATE TABLE leases (
    run INTEGER PRIMARY KEY,
    token TEXT NOT NULL,
    owner TEXT NOT NULL,
    renewed REAL NOT NULL,
    duration REAL NOT NULL
);

-- Texts that many runs share, by a hash of each.
CREATE TABLE texts (
    id TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE vals (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
