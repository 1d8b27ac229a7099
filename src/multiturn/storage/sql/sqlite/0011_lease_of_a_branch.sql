-- The lease is that of a branch: responses that follow the same one are answered at the same time. The turn
-- under the lease is the last of its branch.
ALTER TABLE branches ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;  -- of the lease; grows with every lease
ALTER TABLE branches ADD COLUMN held_until INTEGER;                -- NULL: the lease is free
ALTER TABLE branches ADD COLUMN stop INTEGER NOT NULL DEFAULT 0;   -- the running turn was asked to stop
UPDATE branches SET (epoch, held_until, stop) =
    (SELECT epoch, held_until, stop FROM conversations WHERE id = branches.conversation)
WHERE segment IN (SELECT held_turn >> 32 FROM conversations WHERE held_turn IS NOT NULL);

CREATE TABLE arrived (
    segment   INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    text      BLOB    NOT NULL,
    reasoning BLOB,
    course    BLOB,
    PRIMARY KEY (segment, number)
) WITHOUT ROWID;
INSERT INTO arrived SELECT c.held_turn >> 32, p.number, p.text, p.reasoning, p.course
FROM partials p JOIN conversations c ON c.id = p.conversation WHERE c.held_turn IS NOT NULL;
DROP TABLE partials;
ALTER TABLE arrived RENAME TO partials;

ALTER TABLE conversations DROP COLUMN epoch;
ALTER TABLE conversations DROP COLUMN held_until;
ALTER TABLE conversations DROP COLUMN held_turn;
ALTER TABLE conversations DROP COLUMN stop;
