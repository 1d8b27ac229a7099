-- Keys of the gateway: their digests, never the keys. One that was revoked stays, so that its end is known.
CREATE TABLE keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    digest     BLOB    NOT NULL UNIQUE,            -- SHA-256 of the key
    prefix     TEXT    NOT NULL,                   -- how it begins, to tell it from others
    tenant     TEXT    NOT NULL,
    user       TEXT,                               -- the only one it acts for; NULL: it names them
    scopes     TEXT    NOT NULL,                   -- parted by blanks
    label      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
);

-- What a tenant consumed on a day (UTC): allowances are measured by it. It does not shrink when conversations
-- are deleted.
CREATE TABLE accounts (
    tenant   TEXT    NOT NULL,
    day      INTEGER NOT NULL,                     -- days since 1970
    currency TEXT    NOT NULL,                     -- '': no price is known
    calls    INTEGER NOT NULL,
    input    INTEGER NOT NULL,
    output   INTEGER NOT NULL,
    amount   INTEGER NOT NULL,                     -- billionths of the currency
    PRIMARY KEY (tenant, day, currency)
) WITHOUT ROWID;

CREATE TRIGGER steps_are_accounted AFTER INSERT ON steps WHEN NEW.input IS NOT NULL BEGIN
    INSERT INTO accounts (tenant, day, currency, calls, input, output, amount)
    SELECT c.tenant, NEW.created_at / 86400000, COALESCE(NEW.currency, ''), 1, NEW.input, NEW.output,
        COALESCE(NEW.amount, 0)
    FROM branches b JOIN conversations c ON c.id = b.conversation WHERE b.segment = NEW.turn >> 32
    ON CONFLICT (tenant, day, currency) DO UPDATE SET calls = calls + 1, input = input + excluded.input,
        output = output + excluded.output, amount = amount + excluded.amount;
END;

INSERT INTO accounts (tenant, day, currency, calls, input, output, amount)
SELECT c.tenant, s.created_at / 86400000, COALESCE(s.currency, ''), COUNT(*), SUM(s.input), SUM(s.output),
    SUM(COALESCE(s.amount, 0))
FROM steps s JOIN branches b ON b.segment = s.turn >> 32 JOIN conversations c ON c.id = b.conversation
WHERE s.input IS NOT NULL GROUP BY 1, 2, 3;
