-- The index of recall is written in chunks of 32 messages. What is not in it yet is read from the messages.

-- How many messages of the segment are in it.
ALTER TABLE branches ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;

-- Blocks stay as they are. What comes after them goes in again.
UPDATE branches SET indexed = COALESCE((
    SELECT ((MAX(id) & 4294967295) + 1) * 512 FROM recall_spans
    WHERE id BETWEEN branches.segment << 32 AND (branches.segment << 32) + 4294967295
), 0);

DROP TABLE recall_tail;
DROP TABLE recall_backlog;

-- Of 32 messages: when each was said (seconds since 1970, 32 bits), how many terms it has (32 bits), and then
-- the terms of all of them, 32 bits each: term << 4 | count.
CREATE TABLE recall_chunks (
    id   INTEGER PRIMARY KEY,                      -- of the first message: segment << 32 | number
    body BLOB    NOT NULL
);
