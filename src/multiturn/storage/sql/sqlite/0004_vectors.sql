-- Vectors of messages, where recall goes by meaning, too. Those of different models or dimensions are never
-- compared.

CREATE TABLE vector_models (
    id        INTEGER PRIMARY KEY,
    name      TEXT    NOT NULL,                    -- provider/model
    dimension INTEGER NOT NULL,
    UNIQUE (name, dimension)
);

CREATE TABLE vectors (
    id      INTEGER PRIMARY KEY,
    message INTEGER NOT NULL,
    model   INTEGER NOT NULL,
    digest  BLOB    NOT NULL,                      -- of the words: the same words are embedded once
    body    BLOB    NOT NULL,                      -- half precision, little endian, of length one
    UNIQUE (message, model)
);

CREATE INDEX vectors_by_digest ON vectors (digest, model);

-- How many messages of a segment are done: the others wait for their vectors.
CREATE TABLE vector_marks (
    segment  INTEGER NOT NULL,
    model    INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (segment, model)
) WITHOUT ROWID;

CREATE TRIGGER vectors_go_with_messages AFTER DELETE ON messages BEGIN
    DELETE FROM vectors WHERE message = OLD.id;
END;

CREATE TRIGGER marks_go_with_branches AFTER DELETE ON branches BEGIN
    DELETE FROM vector_marks WHERE segment = OLD.segment;
END;
