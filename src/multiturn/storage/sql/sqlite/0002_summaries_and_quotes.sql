-- What summaries, recall and cache-stable windows keep.

ALTER TABLE branches ADD COLUMN cut_scale REAL NOT NULL DEFAULT 0;  -- calibration at the cut
ALTER TABLE branches ADD COLUMN request BLOB;                -- fingerprint of the last request
ALTER TABLE branches ADD COLUMN summary INTEGER;             -- the one in force
ALTER TABLE branches ADD COLUMN due INTEGER;                 -- when a summary fell due; NULL: none is
ALTER TABLE branches ADD COLUMN due_claimed INTEGER;         -- `due` as it was claimed: a newer mark stays
ALTER TABLE branches ADD COLUMN due_until INTEGER NOT NULL DEFAULT 0;  -- nobody may claim it before
ALTER TABLE branches ADD COLUMN due_failures INTEGER NOT NULL DEFAULT 0;

CREATE INDEX branches_due ON branches (due) WHERE due IS NOT NULL;

-- All versions. `replaced` is the one that was in force before, to which undoing leads back.
CREATE TABLE summaries (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    segment      INTEGER NOT NULL,                 -- the branch it was written for
    replaced     INTEGER,
    upto         INTEGER NOT NULL,                 -- it stands for the turns 1 to `upto` of the path
    tokens       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    model        TEXT,                             -- NULL: a person wrote it
    text         BLOB    NOT NULL,
    UNIQUE (conversation, version)
);

ALTER TABLE models ADD COLUMN ratio REAL NOT NULL DEFAULT 1;        -- reported tokens by counted ones
ALTER TABLE models ADD COLUMN samples INTEGER NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN input_limit INTEGER;

-- Blocks of recalled turns, by the message in front of whose words they go: those with QUOTED. Their
-- tokens are part of the message's and its turn's.
CREATE TABLE quotes (
    message INTEGER PRIMARY KEY,
    tokens  INTEGER NOT NULL,
    text    BLOB    NOT NULL
);

-- What they quote: keys of messages.
CREATE TABLE quote_sources (
    message INTEGER NOT NULL,
    source  INTEGER NOT NULL,
    PRIMARY KEY (message, source)
) WITHOUT ROWID;

CREATE INDEX quote_sources_by_source ON quote_sources (source);

-- Long strings of messages with media (a `data:` URL, sound in base64), once for each tenant.
CREATE TABLE blobs (
    id     INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    hash   BLOB NOT NULL,
    body   BLOB NOT NULL,
    UNIQUE (tenant, hash)
);

-- They were taken out of the stored body of the message, and belong in it at this byte.
CREATE TABLE media (
    message INTEGER NOT NULL,
    place   INTEGER NOT NULL,
    blob    INTEGER NOT NULL,
    PRIMARY KEY (message, place)
) WITHOUT ROWID;

CREATE INDEX media_by_blob ON media (blob);
