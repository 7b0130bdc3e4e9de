//! The statements about documents, one an operation. `$1` is the service in each.

/// The statements for one schema.
pub struct DocumentStatements {
    pub get: String,
    pub insert: String,
    pub update: String,
    pub list: String,
}

impl DocumentStatements {
    /// `fill` puts the schema and the server's clock into a text.
    pub fn of(fill: impl Fn(&str) -> String) -> Self {
        Self { get: fill(GET), insert: fill(INSERT), update: fill(UPDATE), list: fill(LIST) }
    }
}

/// A document. $2 id.
const GET: &str = "
SELECT fence, value FROM {schema}.documents
WHERE service = $1 AND id = $2 AND removable_at_ms > {now_ms}";

/// Writes one where there is none. $2 id, $3 value, $4 how long it is kept. Gives its fence.
const INSERT: &str = "
INSERT INTO {schema}.documents AS d (service, id, fence, value, removable_at_ms)
VALUES ($1, $2, nextval('{schema}.fences'), $3, {now_ms} + $4)
ON CONFLICT (service, id) DO UPDATE
SET fence = excluded.fence, value = excluded.value, removable_at_ms = excluded.removable_at_ms
WHERE d.removable_at_ms <= {now_ms}
RETURNING fence";

/// Writes over one. $2 id, $3 value, $4 how long it is kept, $5 the fence that it has. Gives the
/// one that it gets.
const UPDATE: &str = "
UPDATE {schema}.documents
SET fence = nextval('{schema}.fences'), value = $3, removable_at_ms = {now_ms} + $4
WHERE service = $1 AND id = $2 AND fence = $5 AND removable_at_ms > {now_ms}
RETURNING fence";

/// Those from id $2 on, behind $3, before $4 if that is not null. $5 how many.
const LIST: &str = "
SELECT id, value FROM {schema}.documents
WHERE service = $1 AND id >= $2 AND id > $3 AND ($4::bytea IS NULL OR id < $4) AND removable_at_ms > {now_ms}
ORDER BY id
LIMIT $5";
