//! The statements, one an operation. What they decide is what `entry.rs` decides; the contract
//! suite holds them to it.
//!
//! They run as transactions of their own, READ COMMITTED: a row that is locked is read as it stands
//! once the lock is ours, and everything is decided from that reading.

use std::fmt;

use super::document_sql::DocumentStatements;
use super::error::OpenError;
use super::timer_sql::TimerStatements;

/// The server's clock, in milliseconds since 1970-01-01T00:00:00Z.
const NOW_MS: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// The schema's name, fit for a statement: shown, it stands in quotes.
#[derive(Clone, Debug)]
pub struct Schema(String);

/// PostgreSQL's limit on names, in bytes.
const SCHEMA_MAX_BYTES: usize = 63;

impl Schema {
    /// # Errors
    /// [`OpenError::Schema`] if it would have to be escaped.
    pub fn parse(name: &str) -> Result<Self, OpenError> {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || name.len() > SCHEMA_MAX_BYTES || !plain {
            return Err(OpenError::Schema(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// Without the quotes.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The words for what a claim makes of an entry, where no lease matters.
const RULES: &str = "WHEN removable_at_ms <= now_ms AND NOT (state = 1 AND lease_until_ms > now_ms) THEN 'forgotten'
            WHEN state NOT BETWEEN 1 AND 4 THEN 'state ' || state
            WHEN mark = ANY (dead) THEN 'dead-lettered'
            WHEN state = 4 THEN 'replayed'
            WHEN body <> new_body THEN 'conflict'
            WHEN state = 3 THEN 'done'
            WHEN state = 2 THEN 'released'";

/// Those of these words, and of the one for a lease that has run out, that let a run start.
const STARTS: &str = "'forgotten', 'replayed', 'released', 'crashed'";

/// What a claim takes over from the entry, with its own attempt counted.
const TAKEN_OVER: &str = "fence = nextval('{schema}.fences'),
        life = CASE ruling WHEN 'forgotten' THEN nextval('{schema}.fences') ELSE ruled.life END,
        attempts = CASE WHEN ruling IN ('released', 'crashed') THEN least(ruled.attempts + 1, {count_max}) ELSE 1 END,
        crashes = CASE ruling WHEN 'released' THEN ruled.crashes WHEN 'crashed' THEN least(ruled.crashes + 1, {count_max}) ELSE 0 END,
        replays = CASE ruling WHEN 'forgotten' THEN 0 WHEN 'replayed' THEN least(ruled.replays + 1, {count_max}) ELSE ruled.replays END,
        body = new_body,
        message_id = new_message_id,
        dead = CASE ruling WHEN 'forgotten' THEN '{}' ELSE ruled.dead END,
        first_failed_at_ms = CASE WHEN ruling IN ('released', 'crashed') THEN ruled.first_failed_at_ms END,";

/// The statements for one schema.
pub struct Statements {
    pub claim: String,
    pub extend: String,
    pub finish: String,
    pub known: String,
    pub ended: String,
    pub complete: String,
    pub get_step: String,
    pub put_step: String,
    pub put_envelope: String,
    pub get_envelope: String,
    pub put_pause: String,
    pub remove_pause: String,
    pub pauses: String,
    pub ping: String,
    pub sweep_turn: String,
    pub sweep_entries: String,
    pub sweep_envelopes: String,
    pub sweep_documents: String,
    pub sweep_next: String,
    pub documents: DocumentStatements,
    pub timers: TimerStatements,
}

impl Statements {
    pub fn of(schema: &Schema) -> Self {
        let (schema, count_max) = (schema.to_string(), u32::MAX.to_string());
        let fill = |text: &str| {
            let text = text.replace("{rules}", RULES).replace("{taken_over}", TAKEN_OVER).replace("{starts}", STARTS);
            text.replace("{schema}", &schema).replace("{now_ms}", NOW_MS).replace("{count_max}", &count_max)
        };
        Self {
            claim: fill(CLAIM),
            extend: fill(EXTEND),
            finish: fill(FINISH),
            known: fill(KNOWN),
            ended: fill(ENDED),
            complete: fill(COMPLETE),
            get_step: fill(GET_STEP),
            put_step: fill(PUT_STEP),
            put_envelope: fill(PUT_ENVELOPE),
            get_envelope: fill(GET_ENVELOPE),
            put_pause: fill(PUT_PAUSE),
            remove_pause: fill(REMOVE_PAUSE),
            pauses: fill(PAUSES),
            ping: fill(PING),
            sweep_turn: fill(SWEEP_TURN),
            sweep_entries: fill(SWEEP_ENTRIES),
            sweep_envelopes: fill(SWEEP_ENVELOPES),
            sweep_documents: fill(SWEEP_DOCUMENTS),
            sweep_next: fill(SWEEP_NEXT),
            documents: DocumentStatements::of(fill),
            timers: TimerStatements::of(fill),
        }
    }
}

/// Claims. $1 keys, none of them twice, $2 bodies, $3 message ids, $4 leases, $5 for how long an
/// idle entry is kept, $6 the marks of the message ids. Each row names its key.
///
/// A new key is inserted (`begun`). Otherwise the entry is locked (`found`), a word is found for
/// what a claim makes of it (`ruled`, with the clock read once the lock is ours), and it is claimed
/// if the word says so (`taken`). A key has no row when another host inserted it after this
/// statement had begun to look: then it has to be asked again.
///
/// Here and in all statements about several entries, they are inserted and locked in the order of
/// their keys, so that no two hosts wait for each other.
const CLAIM: &str = "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $6::bigint[])
        AS asked (key, new_body, new_message_id, lease_ms, mark)
    ORDER BY key
), begun AS (
    INSERT INTO {schema}.entries AS e (key, state, fence, life, attempts, crashes, replays, body, message_id,
                                       lease_until_ms, removable_at_ms)
    SELECT key, 1, fence, fence, 1, 0, 0, new_body, new_message_id, now_ms + lease_ms, now_ms + $5::bigint
    FROM (SELECT asked.*, nextval('{schema}.fences') AS fence, {now_ms} AS now_ms FROM asked) AS next
    ON CONFLICT (key) DO NOTHING
    RETURNING e.key, e.fence
), found AS MATERIALIZED (
    SELECT e.*, asked.new_body, asked.new_message_id, asked.lease_ms, asked.mark
    FROM {schema}.entries AS e JOIN asked ON e.key = asked.key
    ORDER BY e.key
    FOR UPDATE OF e
), ruled AS MATERIALIZED (
    SELECT found.*, now_ms, message_id = new_message_id AS same_message,
        CASE
            {rules}
            WHEN lease_until_ms > now_ms THEN 'busy'
            ELSE 'crashed'
        END AS ruling
    FROM found, LATERAL (SELECT {now_ms} AS now_ms WHERE found.key IS NOT NULL) AS clock
), taken AS (
    UPDATE {schema}.entries AS e SET
        state = 1,
        {taken_over}
        lease_until_ms = now_ms + lease_ms,
        removable_at_ms = now_ms + $5::bigint,
        discarded = NULL,
        result = NULL
    FROM ruled
    WHERE e.key = ruled.key AND ruling IN ({starts})
    RETURNING e.key, e.fence, e.attempts, e.crashes, e.replays, e.first_failed_at_ms
)
SELECT key, 'fresh' AS ruling, false AS same_message, 0::bigint AS remaining_ms,
       fence, 1::bigint AS attempts, 0::bigint AS crashes, 0::bigint AS replays, NULL::bigint AS first_failed_at_ms,
       true AS is_new
FROM begun
UNION ALL
SELECT ruled.key, CASE WHEN taken.fence IS NULL THEN ruling ELSE 'fresh' END, same_message, lease_until_ms - now_ms,
       taken.fence, taken.attempts, taken.crashes, taken.replays, taken.first_failed_at_ms,
       ruling = 'forgotten'
FROM ruled LEFT JOIN taken ON taken.key = ruled.key";

/// Extends claims. $1 keys, $2 their fences, $3 lease. Gives back those that are ours, and those
/// whose state is unknown.
const EXTEND: &str = "
WITH claims AS (
    SELECT * FROM unnest($1::bytea[], $2::bigint[]) AS claims (key, fence)
), ours AS MATERIALIZED (
    SELECT e.key, e.fence, e.state
    FROM {schema}.entries AS e JOIN claims ON e.key = claims.key AND e.fence = claims.fence
    ORDER BY e.key
    FOR UPDATE OF e
), extended AS (
    UPDATE {schema}.entries AS e
    SET lease_until_ms = {now_ms} + $3
    FROM ours
    WHERE e.key = ours.key AND e.fence = ours.fence AND ours.state = 1
    RETURNING e.key, e.fence, e.state
)
SELECT key, fence, state FROM extended
UNION ALL
SELECT e.key, claims.fence, e.state
FROM {schema}.entries AS e JOIN claims ON e.key = claims.key
WHERE e.state NOT BETWEEN 1 AND 4";

/// Ends claims. $1 keys, none of them twice, $2 fences, $3 the states that they shall be in, $4
/// times to live, $5 whether the attempt is taken off, $6 when it failed, $7 the dead letter's
/// message id, $8 discarded, $9 result, $10 the mark of the message id, $11 how many of these are
/// kept, $12 whether crashes before it are forgotten. Each row has a key and the state in which its
/// entry was; no row when the fence is not the entry's.
const FINISH: &str = "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::smallint[], $4::bigint[], $5::boolean[], $6::bigint[], $7::bytea[],
                         $8::boolean[], $9::bytea[], $10::bigint[], $12::boolean[])
        AS asked (key, fence, new_state, ttl_ms, uncounted, failed_at_ms, new_message_id, new_discarded, new_result, mark,
                  forgets_crashes)
), found AS MATERIALIZED (
    SELECT e.key, e.state
    FROM {schema}.entries AS e JOIN asked ON e.key = asked.key AND e.fence = asked.fence
    ORDER BY e.key
    FOR UPDATE OF e
), ended AS (
    UPDATE {schema}.entries AS e SET
        state = new_state,
        attempts = CASE WHEN new_state = 4 THEN 0 WHEN uncounted THEN greatest(attempts - 1, 0) ELSE attempts END,
        crashes = CASE WHEN forgets_crashes THEN 0 ELSE crashes END,
        message_id = coalesce(new_message_id, message_id),
        dead = CASE new_state WHEN 4 THEN (dead || mark)[greatest(cardinality(dead) + 2 - $11::integer, 1):] ELSE dead END,
        first_failed_at_ms = CASE new_state WHEN 4 THEN NULL ELSE coalesce(first_failed_at_ms, failed_at_ms) END,
        removable_at_ms = {now_ms} + ttl_ms,
        discarded = new_discarded,
        result = new_result
    FROM found JOIN asked ON asked.key = found.key
    WHERE e.key = found.key AND e.fence = asked.fence AND found.state = 1
    RETURNING e.key, e.state
), forgotten AS (
    DELETE FROM {schema}.steps WHERE key IN (SELECT key FROM ended WHERE state = 3)
)
SELECT key, state FROM found";

/// The keys of $1 that have an entry.
const KNOWN: &str = "SELECT key FROM {schema}.entries WHERE key = ANY ($1::bytea[])";

/// How a key's work ended: $1.
const ENDED: &str = "SELECT state, discarded, result FROM {schema}.entries WHERE key = $1";

/// Completes without a claim. $1 keys, none of them twice, $2 bodies, $3 message ids, $4 times to
/// live, $5 discarded, $6 results, $7 the marks of the message ids. It goes as a claim does, but
/// nobody's claim holds it up. Each row has a key and the word for what was made of its entry.
const COMPLETE: &str = "
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[], $5::boolean[], $6::bytea[], $7::bigint[])
        AS asked (key, new_body, new_message_id, ttl_ms, new_discarded, new_result, mark)
    ORDER BY key
), begun AS (
    INSERT INTO {schema}.entries AS e (key, state, fence, life, attempts, crashes, replays, body, message_id,
                                       lease_until_ms, removable_at_ms, discarded, result)
    SELECT key, 3, fence, fence, 1, 0, 0, new_body, new_message_id, now_ms, now_ms + ttl_ms, new_discarded, new_result
    FROM (SELECT asked.*, nextval('{schema}.fences') AS fence, {now_ms} AS now_ms FROM asked) AS next
    ON CONFLICT (key) DO NOTHING
    RETURNING e.key
), found AS MATERIALIZED (
    SELECT e.*, asked.new_body, asked.new_message_id, asked.ttl_ms, asked.new_discarded, asked.new_result, asked.mark
    FROM {schema}.entries AS e JOIN asked ON e.key = asked.key
    ORDER BY e.key
    FOR UPDATE OF e
), ruled AS MATERIALIZED (
    SELECT found.*, now_ms,
        CASE
            {rules}
            ELSE 'crashed'
        END AS ruling
    FROM found, LATERAL (SELECT {now_ms} AS now_ms WHERE found.key IS NOT NULL) AS clock
), taken AS (
    UPDATE {schema}.entries AS e SET
        state = 3,
        {taken_over}
        lease_until_ms = now_ms,
        removable_at_ms = now_ms + ttl_ms,
        discarded = new_discarded,
        result = new_result
    FROM ruled
    WHERE e.key = ruled.key AND ruling IN ({starts})
    RETURNING e.key
), forgotten AS (
    DELETE FROM {schema}.steps WHERE key IN (SELECT key FROM taken)
)
SELECT key, 'new' AS ruling FROM begun
UNION ALL
SELECT key, ruling FROM ruled";

/// A step's value, and the state of the entry that has the fence. $1 key, $2 fence, $3 name. No row
/// when it has another one, a value of NULL when there is no such step.
const GET_STEP: &str = "
SELECT e.state, value
FROM {schema}.entries AS e LEFT JOIN {schema}.steps AS s ON s.key = e.key AND s.life = e.life AND s.name = $3
WHERE e.key = $1 AND e.fence = $2";

/// Records a step. $1 key, $2 fence, $3 name, $4 value. The entry is locked, so that no other claim
/// comes between. No row when the claim is not ours.
const PUT_STEP: &str = "
WITH ours AS (
    SELECT key, life FROM {schema}.entries WHERE key = $1 AND fence = $2 AND state = 1 FOR UPDATE
)
INSERT INTO {schema}.steps (key, life, name, value)
SELECT key, life, $3, $4 FROM ours
ON CONFLICT (key, life, name) DO UPDATE SET value = excluded.value
RETURNING true";

/// Keeps an envelope. $1 id, $2 JSON, $3 time to live.
const PUT_ENVELOPE: &str = "
INSERT INTO {schema}.envelopes (id, json, removable_at_ms)
VALUES ($1, $2, {now_ms} + $3)
ON CONFLICT (id) DO UPDATE SET json = excluded.json, removable_at_ms = excluded.removable_at_ms";

/// An envelope. $1 id.
const GET_ENVELOPE: &str = "
SELECT json FROM {schema}.envelopes
WHERE id = $1 AND removable_at_ms > {now_ms}";

/// Keeps a pause. $1 service, $2 target, $3 JSON.
const PUT_PAUSE: &str = "
INSERT INTO {schema}.pauses (service, target, json)
VALUES ($1, $2, $3)
ON CONFLICT (service, target) DO UPDATE SET json = excluded.json";

/// Forgets a pause. $1 service, $2 target.
const REMOVE_PAUSE: &str = "DELETE FROM {schema}.pauses WHERE service = $1 AND target = $2";

/// A service's pauses. $1 service.
const PAUSES: &str = "SELECT target, json FROM {schema}.pauses WHERE service = $1";

/// Writes something.
const PING: &str = "UPDATE {schema}.pings SET count = count + 1";

/// The sweep's turn, if it is due and no other host has it: the page that comes next, and how many
/// there are.
const SWEEP_TURN: &str = "
SELECT page, pg_relation_size('{schema}.entries') / current_setting('block_size')::bigint AS pages
FROM {schema}.sweep
WHERE due_ms <= {now_ms}
FOR UPDATE SKIP LOCKED";

/// Removes what has expired on the pages from $1 to before $2, with its steps.
const SWEEP_ENTRIES: &str = "
DELETE FROM {schema}.entries WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {schema}.entries
    WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
      AND removable_at_ms <= {now_ms}
      AND NOT (state = 1 AND lease_until_ms > {now_ms})
    FOR UPDATE SKIP LOCKED))";

/// Removes at most $1 envelopes that have expired.
const SWEEP_ENVELOPES: &str = "
DELETE FROM {schema}.envelopes WHERE id = ANY (ARRAY(
    SELECT id FROM {schema}.envelopes
    WHERE removable_at_ms <= {now_ms}
    LIMIT $1
    FOR UPDATE SKIP LOCKED))";

/// Removes at most $1 documents that have expired.
const SWEEP_DOCUMENTS: &str = "
DELETE FROM {schema}.documents WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {schema}.documents
    WHERE removable_at_ms <= {now_ms}
    LIMIT $1
    FOR UPDATE SKIP LOCKED))";

/// Ends the turn: $1 the page that comes next, $2 not before so much later.
const SWEEP_NEXT: &str = "
UPDATE {schema}.sweep
SET page = $1, due_ms = {now_ms} + $2";
