//! The statements about timers, one an operation. `$1` is the service in each.

/// The statements for one schema.
pub struct TimerStatements {
    pub set: String,
    pub take: String,
    pub done: String,
    pub update: String,
    pub cancel: String,
    pub get: String,
    pub list: String,
    pub counts: String,
}

impl TimerStatements {
    /// `fill` puts the schema and the server's clock into a text.
    pub fn of(fill: impl Fn(&str) -> String) -> Self {
        Self {
            set: fill(SET),
            take: fill(TAKE),
            done: fill(DONE),
            update: fill(UPDATE),
            cancel: fill(CANCEL),
            get: fill(GET),
            list: fill(LIST),
            counts: fill(COUNTS),
        }
    }
}

/// Sets timers. $2 ids, $3 moments, $4 waits for those without a moment, $5 queues, $6 messages, $7
/// the end of time. Gives the ids that are new. They are inserted in their order, so that no two
/// hosts wait for each other.
const SET: &str = "
INSERT INTO {schema}.timers (service, id, due_ms, look_ms, taken, fence, queue, message)
SELECT $1, id, due_ms, due_ms, false, nextval('{schema}.fences'), queue, message
FROM (
    SELECT id, queue, message, least(coalesce(at_ms, {now_ms} + wait_ms), $7::bigint) AS due_ms
    FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[]) WITH ORDINALITY
        AS asked (id, at_ms, wait_ms, queue, message, n)
    ORDER BY id, n
) AS asked
ON CONFLICT (service, id) DO NOTHING
RETURNING id";

/// Takes what is due. $2 lease, $3 how many at most, $4 how many bytes. The row without an id says
/// how many were found (`fence`), of which some may be too many bytes for now, in how many
/// milliseconds the next one is due (`due_ms`), and what time it is. A row that another host has
/// locked is that host's.
const TAKE: &str = "
WITH found AS MATERIALIZED (
    SELECT id, look_ms, octet_length(message) AS bytes
    FROM {schema}.timers
    WHERE service = $1 AND look_ms <= (SELECT {now_ms})
    ORDER BY look_ms, id
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), chosen AS MATERIALIZED (
    SELECT id
    FROM (SELECT id, row_number() OVER in_order AS n, sum(bytes) OVER in_order AS bytes
          FROM found WINDOW in_order AS (ORDER BY look_ms, id)) AS counted
    WHERE n = 1 OR bytes <= $4::bigint
), taken AS (
    UPDATE {schema}.timers AS t
    SET taken = true, fence = nextval('{schema}.fences'), look_ms = {now_ms} + $2::bigint
    FROM chosen
    WHERE t.service = $1 AND t.id = chosen.id
    RETURNING t.id, t.fence, t.due_ms, t.queue, t.message
)
SELECT id, fence, due_ms, queue, message, NULL::bigint AS now_ms FROM taken
UNION ALL
SELECT NULL, (SELECT count(*) FROM found),
       (SELECT look_ms - {now_ms} FROM {schema}.timers
        WHERE service = $1 AND look_ms > (SELECT {now_ms}) ORDER BY look_ms LIMIT 1),
       NULL, NULL, {now_ms}";

/// Removes timers. $2 ids, none of them twice, $3 fences. Gives the ids that there were, and their
/// fences.
const DONE: &str = "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($2::bytea[], $3::bigint[]) AS asked (id, fence)
), found AS MATERIALIZED (
    SELECT t.id, t.fence
    FROM {schema}.timers AS t JOIN asked ON t.service = $1 AND t.id = asked.id
    ORDER BY t.id
    FOR UPDATE OF t
), removed AS (
    DELETE FROM {schema}.timers AS t
    USING found JOIN asked ON asked.id = found.id AND asked.fence = found.fence
    WHERE t.service = $1 AND t.id = found.id
)
SELECT id, fence FROM found";

/// Changes timers. $2 ids, none of them twice, $3 fences, $4 moments, $5 waits for those without a
/// moment, $6 messages where they change, $7 the end of time. Answers as the one before.
const UPDATE: &str = "
WITH asked AS MATERIALIZED (
    SELECT id, fence, message, least(coalesce(at_ms, {now_ms} + wait_ms), $7::bigint) AS due_ms
    FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])
        AS asked (id, fence, at_ms, wait_ms, message)
), found AS MATERIALIZED (
    SELECT t.id, t.fence
    FROM {schema}.timers AS t JOIN asked ON t.service = $1 AND t.id = asked.id
    ORDER BY t.id
    FOR UPDATE OF t
), changed AS (
    UPDATE {schema}.timers AS t
    SET due_ms = asked.due_ms, look_ms = asked.due_ms, taken = false, fence = nextval('{schema}.fences'),
        message = coalesce(asked.message, t.message)
    FROM found JOIN asked ON asked.id = found.id AND asked.fence = found.fence
    WHERE t.service = $1 AND t.id = found.id
)
SELECT id, fence FROM found";

/// Cancels timers. $2 ids. Gives those that there were, and whether a host has them in hand.
const CANCEL: &str = "
WITH found AS MATERIALIZED (
    SELECT id, taken AND look_ms > {now_ms} AS is_held
    FROM {schema}.timers
    WHERE service = $1 AND id = ANY ($2::bytea[])
    ORDER BY id
    FOR UPDATE
), removed AS (
    DELETE FROM {schema}.timers AS t USING found WHERE t.service = $1 AND t.id = found.id
)
SELECT id, is_held FROM found";

/// A timer. $2 id.
const GET: &str = "
SELECT due_ms, fence, queue, message, taken AND look_ms > {now_ms} AS is_held
FROM {schema}.timers
WHERE service = $1 AND id = $2";

/// Timers behind the place $2, $3. $4 how many.
const LIST: &str = "
SELECT id, due_ms, look_ms, queue, octet_length(message)::bigint AS bytes, taken AND look_ms > {now_ms} AS is_held
FROM {schema}.timers
WHERE service = $1 AND (look_ms, id) > ($2, $3)
ORDER BY look_ms, id
LIMIT $4";

/// How many there are, and how many can be taken. $2 where counting ends.
const COUNTS: &str = "
SELECT (SELECT count(*) FROM (SELECT FROM {schema}.timers WHERE service = $1 LIMIT $2) AS a) AS all_of_them,
       (SELECT count(*) FROM (SELECT FROM {schema}.timers
                              WHERE service = $1 AND look_ms <= (SELECT {now_ms})
                              ORDER BY look_ms, id LIMIT $2) AS d) AS overdue";
