-- Version 4. Documents that hosts change one after another.

CREATE TABLE {schema}.documents (
    service bytea NOT NULL,
    id bytea NOT NULL,
    fence bigint NOT NULL,
    value bytea NOT NULL,
    removable_at_ms bigint NOT NULL,
    PRIMARY KEY (service, id)
);

CREATE INDEX ON {schema}.documents (removable_at_ms);
