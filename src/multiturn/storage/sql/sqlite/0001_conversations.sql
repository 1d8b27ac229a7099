-- What a conversation is made of.
--
-- A branch owns a segment: an integer of its own. Turns and messages of a segment are numbered, and
-- their keys are composed as (segment << 32 | number), so that a path is one or more ranges of a table
-- whose key is the row id: the smallest and fastest form SQLite has. A branch shares the turns up to
-- `fork` with its parent and never copies them.
--
-- Times are milliseconds since 1970 by the database's clock.

CREATE TABLE conversations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: stale leases must not fit
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,                   -- the application's id
    user       TEXT    NOT NULL,
    ulid       TEXT    NOT NULL UNIQUE,
    title      TEXT    NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    segment    INTEGER NOT NULL DEFAULT 0,         -- the branch in use
    branches   INTEGER NOT NULL DEFAULT 1,
    settings   INTEGER,                            -- those in force
    standing   INTEGER NOT NULL DEFAULT 0,         -- whether a pin or an instruction was ever on a path
    epoch      INTEGER NOT NULL DEFAULT 0,         -- of the lease; grows with every lease
    held_until INTEGER,                            -- NULL: the lease is free
    held_turn  INTEGER,                            -- key of the turn under the lease
    stop       INTEGER NOT NULL DEFAULT 0,         -- the running turn was asked to stop
    UNIQUE (tenant, name)
);

CREATE INDEX conversations_by_use ON conversations (tenant, user, updated_at);

CREATE TABLE settings (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    body         BLOB    NOT NULL,
    UNIQUE (conversation, version)
);

CREATE TABLE branches (
    segment      INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    parent       INTEGER NOT NULL DEFAULT 0,       -- segment that owns turn `fork`; 0: none
    fork         INTEGER NOT NULL DEFAULT 0,       -- last shared turn
    head         INTEGER NOT NULL DEFAULT 0,       -- last turn of the path
    shared       INTEGER NOT NULL DEFAULT 0,       -- messages of the path up to `fork`
    messages     INTEGER NOT NULL DEFAULT 0,       -- messages of its own
    cut_turn     INTEGER,
    cut_key      TEXT,
    UNIQUE (conversation, number)
);

CREATE TABLE turns (
    id               INTEGER PRIMARY KEY,          -- segment << 32 | number on the path
    state            INTEGER NOT NULL,
    traits           INTEGER NOT NULL,             -- marks and the traits of all its messages
    marks            INTEGER NOT NULL DEFAULT 0,   -- traits set on the turn itself
    tokens           INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    messages         INTEGER NOT NULL,
    before           INTEGER NOT NULL,             -- messages of the segment before its first
    steps            INTEGER NOT NULL,             -- how many were begun
    created_at       INTEGER NOT NULL,
    model            INTEGER,
    key              TEXT,
    open_calls       BLOB,
    error            TEXT,
    reason           TEXT
);

-- 4224: PINNED (4096) and INSTRUCTION (128).
CREATE INDEX turns_standing ON turns (id) WHERE (traits & 4224) <> 0;

CREATE TABLE messages (
    id               INTEGER PRIMARY KEY,          -- segment << 32 | number in the segment, from 0
    turn             INTEGER NOT NULL,
    role             INTEGER NOT NULL,             -- 0 user, 1 assistant, 2 system, 3 developer, 4 tool
    traits           INTEGER NOT NULL,
    tokens           INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    model            INTEGER,
    body             BLOB    NOT NULL,
    reasoning        BLOB,
    facts            BLOB
);

-- Ids that imported messages brought along.
CREATE TABLE own_ids (
    conversation INTEGER NOT NULL,
    own_id       TEXT    NOT NULL,
    message      INTEGER NOT NULL,
    PRIMARY KEY (conversation, own_id, message)
) WITHOUT ROWID;

CREATE TABLE models (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
);

-- Append-only: one row for each request to a provider that came to an end.
CREATE TABLE steps (
    turn          INTEGER NOT NULL,                -- key of the turn
    number        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    model         INTEGER,
    input         INTEGER,                         -- NULL: no usage at all
    output        INTEGER,
    cached        INTEGER,
    cache_write   INTEGER,
    reasoning     INTEGER,
    estimated     INTEGER NOT NULL,                -- 1 the usage, 2 the cost
    amount        INTEGER,                         -- billionths of the currency
    currency      TEXT,
    finish_reason TEXT,
    response_id   TEXT,
    error         TEXT,
    seconds       REAL,
    raw           BLOB,
    ledger        BLOB    NOT NULL,
    PRIMARY KEY (turn, number)
) WITHOUT ROWID;

-- What has arrived of the running step.
CREATE TABLE partials (
    conversation INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    text         BLOB    NOT NULL,
    reasoning    BLOB,
    PRIMARY KEY (conversation, number)
) WITHOUT ROWID;

CREATE TABLE request_keys (
    conversation INTEGER NOT NULL,
    key          TEXT    NOT NULL,
    digest       BLOB    NOT NULL,
    turn         INTEGER NOT NULL,
    PRIMARY KEY (conversation, key)
) WITHOUT ROWID;

-- Who waits for a lease: the lowest ticket that has not expired goes first.
CREATE TABLE tickets (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL,
    expires      INTEGER NOT NULL
);

CREATE INDEX tickets_by_conversation ON tickets (conversation);
