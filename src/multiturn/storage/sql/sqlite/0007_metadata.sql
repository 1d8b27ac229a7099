-- What applications note about a conversation, and how long it is kept.

ALTER TABLE conversations ADD COLUMN metadata TEXT;          -- a JSON object of texts; NULL: nothing
ALTER TABLE conversations ADD COLUMN expires_after INTEGER;  -- milliseconds without use; NULL: for ever

CREATE INDEX conversations_by_end ON conversations (updated_at + expires_after)
    WHERE expires_after IS NOT NULL;
