-- Version 2. What is paused, by the service and by `type:NAME` or `queue:NAME`.

CREATE TABLE {schema}.pauses (
    service bytea NOT NULL,
    target bytea NOT NULL,
    json bytea NOT NULL,
    PRIMARY KEY (service, target)
);
