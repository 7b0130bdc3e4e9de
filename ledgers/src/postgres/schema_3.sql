-- Version 3. What is to be sent when.

CREATE TABLE {schema}.timers (
    service bytea NOT NULL,
    id bytea NOT NULL,
    due_ms bigint NOT NULL,
    -- From when it can be taken: when it is due, or when the lease ends that it is taken under.
    look_ms bigint NOT NULL,
    taken boolean NOT NULL,
    fence bigint NOT NULL,
    queue bytea NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (service, id)
    -- What has been sent leaves dead rows at the very place where what is due is looked for. Many
    -- that wait shall not keep the server from removing them.
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000);

CREATE INDEX ON {schema}.timers (service, look_ms, id);

-- A longer message stands outside of its row, which changes twice in a timer's life. It is written
-- as it is: to compress it costs more than to keep it.
ALTER TABLE {schema}.timers ALTER COLUMN message SET STORAGE EXTERNAL;
