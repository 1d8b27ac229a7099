-- The index of recall: which terms are in which messages. A term is a number of 28 bits (`terms`).
--
-- What is newest lies by message. Blocks of 512 messages that will not change any more are turned round
-- to lie by term, and never written again.

CREATE TABLE recall_tail (
    id    INTEGER PRIMARY KEY,                     -- of the message: segment << 32 | number
    said  INTEGER NOT NULL,                        -- when, in seconds since 1970
    terms BLOB    NOT NULL                         -- 32 bits each: term << 4 | count
);

-- The terms of a block that agree in their upper 9 bits: 32 bits each,
-- (lower 19 bits of the term) << 13 | (number in the block) << 4 | count.
CREATE TABLE recall_blocks (
    id    INTEGER PRIMARY KEY,                     -- segment << 32 | upper bits << 23 | block
    terms BLOB    NOT NULL
);

-- Of all 512 messages of a block: how many terms (16 bits each, 0: it is not to be found), then when they
-- were said (seconds since 1970, 32 bits each).
CREATE TABLE recall_spans (
    id   INTEGER PRIMARY KEY,                      -- segment << 32 | block
    body BLOB    NOT NULL
);

-- Messages that were stored before there was an index; `next` is the first turn that is not in it.
CREATE TABLE recall_backlog (
    segment INTEGER PRIMARY KEY,
    next    INTEGER NOT NULL
);

INSERT INTO recall_backlog SELECT segment, fork + 1 FROM branches WHERE messages > 0;

-- Conversations that share what can be recalled.
ALTER TABLE conversations ADD COLUMN memory TEXT;

UPDATE conversations SET memory = (
    SELECT json_extract(CAST(body AS TEXT), '$.memory') FROM settings WHERE id = conversations.settings
);

CREATE INDEX conversations_by_memory ON conversations (tenant, user, memory, updated_at)
    WHERE memory IS NOT NULL;
