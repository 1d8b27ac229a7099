-- Turns that are never sent, whatever their place on a path: the ledger tells their own reason also where they lie
-- before what a window reads. `conversations.standing` is bits from now on: 1 as before, 2: a turn of these was ever there.
--
-- 90112: RETRACTED (16384), MODERATED (65536) and EXCLUDED (8192); state 5: failed, 4: incomplete, and 32768: stopped.
CREATE INDEX turns_withheld ON turns (id)
    WHERE (traits & 90112) <> 0 OR state = 5 OR (state = 4 AND (traits & 32768) = 0);

UPDATE conversations SET standing = standing | 2 WHERE id IN (
    SELECT b.conversation FROM turns t INDEXED BY turns_withheld JOIN branches b ON b.segment = t.id >> 32
    WHERE (t.traits & 90112) <> 0 OR t.state = 5 OR (t.state = 4 AND (t.traits & 32768) = 0));
