-- What a door was asked for and how it told the answer: one row for each step that a door keeps account of.
-- The words themselves are in `messages`.

CREATE TABLE exchanges (
    turn       INTEGER NOT NULL,                -- key of the turn
    step       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    request    INTEGER NOT NULL,                -- of `requests`
    own        BLOB,                            -- what only this step was asked for
    input      INTEGER NOT NULL,                -- place of its first message in the turn
    output     INTEGER NOT NULL,                -- place of its answer, if it has one
    key        TEXT,                            -- the request key that made it
    course     BLOB,                            -- in what pieces the answer came
    PRIMARY KEY (turn, step)
) WITHOUT ROWID;

-- What several steps of a conversation were asked for alike, once.
CREATE TABLE requests (
    id           INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL,
    digest       BLOB    NOT NULL,
    body         BLOB    NOT NULL,
    UNIQUE (conversation, digest)
);

ALTER TABLE partials ADD COLUMN course BLOB;
