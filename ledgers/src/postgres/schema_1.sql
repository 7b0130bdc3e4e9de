-- Version 1. `{schema}` stands for the schema's quoted name. Times are milliseconds since 1970-01-01T00:00:00Z, by this
-- server's clock. Texts from messages are bytea: they may hold NUL, which text refuses.

-- A fence of its own for every claim, also of a key whose entry is gone.
CREATE SEQUENCE {schema}.fences AS bigint;

CREATE TABLE {schema}.entries (
    key bytea PRIMARY KEY,
    -- 1 claimed, 2 released, 3 done, 4 dead-lettered
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
    fence bigint NOT NULL,
    -- Steps belong to one life of their key. An entry that has expired begins another.
    life bigint NOT NULL,
    attempts bigint NOT NULL,
    crashes bigint NOT NULL,
    replays bigint NOT NULL,
    body bytea NOT NULL,
    message_id bytea NOT NULL,
    -- What stands for the key's messages that were dead-lettered.
    dead bigint[] NOT NULL DEFAULT '{}',
    first_failed_at_ms bigint,
    lease_until_ms bigint NOT NULL,
    removable_at_ms bigint NOT NULL,
    discarded boolean,
    result bytea
    -- An entry is inserted once and updated about once. With room left on its page and no index on what changes, the update
    -- stays on the page and touches no index.
) WITH (fillfactor = 60);

CREATE TABLE {schema}.steps (
    key bytea NOT NULL REFERENCES {schema}.entries ON DELETE CASCADE,
    life bigint NOT NULL,
    name bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (key, life, name)
);

CREATE TABLE {schema}.envelopes (
    id bytea PRIMARY KEY,
    json bytea NOT NULL,
    removable_at_ms bigint NOT NULL
);

CREATE INDEX ON {schema}.envelopes (removable_at_ms);

-- Where the sweep of all hosts stands: the page of `entries` that comes next, and not before when.
CREATE TABLE {schema}.sweep (page bigint NOT NULL, due_ms bigint NOT NULL);
INSERT INTO {schema}.sweep VALUES (0, 0);

-- The count matters to nobody, but a server that cannot write is found out by it.
CREATE TABLE {schema}.pings (count bigint NOT NULL);
INSERT INTO {schema}.pings VALUES (0);
