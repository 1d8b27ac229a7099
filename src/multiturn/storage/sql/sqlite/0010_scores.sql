-- How well each quoted message fitted the question, from 0 to 1: later steps of the turn tell it, too.
ALTER TABLE quote_sources ADD COLUMN score REAL NOT NULL DEFAULT 0;
