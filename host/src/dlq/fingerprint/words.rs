//! The words by which names, values and codes in a reason are known. Those of quotations are in
//! lower case where they stand before one; the others as they are written.

/// The words before a name, in lower case.
#[rustfmt::skip]
pub const BEFORE_NAMES: &[&str] = &[
    "argument", "arguments", "attribute", "capability", "class", "code", "column", "columns",
    "constraint", "database", "dependency", "element", "enum", "error", "event", "extension",
    "field", "fields", "function", "header", "host", "import", "index", "interface", "key",
    "keyerror", "keyword", "kind", "loc", "member", "method", "missing", "module", "named",
    "namespace", "operator", "option", "parameter", "param", "parameters", "permission", "pool",
    "plugin", "properties", "property", "queue", "reading", "reason", "relation", "required",
    "role", "schema", "secret", "sequence", "setting", "struct", "symbol", "table", "tag", "topic",
    "trait", "trigger", "type", "types", "variable", "view",
];

/// The words before a value, in lower case; they win over a mark that says a name.
#[rustfmt::skip]
pub const BEFORE_VALUES: &[&str] = &[
    "bool", "boolean", "byte", "bytes", "char", "character", "content", "customer", "data",
    "email", "entry", "float", "found", "got", "id", "input", "integer", "invoice", "item",
    "literal", "number", "order", "point", "received", "sku", "str", "string", "text", "token",
    "user", "uuid", "value", "values", "variant",
];

/// What follows a name, after a space.
#[rustfmt::skip]
pub const AFTER_NAMES: &[&str] = &[
    "argument", "attribute", "cannot be null", "column", "field", "header", "is a required",
    "is missing", "is not a function", "is not allowed", "is not defined", "is not iterable",
    "is null", "is required", "is undefined", "key", "may not be", "module", "must be",
    "must have", "must not", "object", "parameter", "property", "should be",
];

/// Types of the languages that reasons come from: they are as good as names wherever they stand.
#[rustfmt::skip]
pub const TYPES: &[&str] = &[
    "NoneType", "array", "bigint", "bool", "boolean", "bytes", "date", "dict", "double", "float",
    "int", "integer", "list", "map", "number", "numeric", "object", "real", "sequence", "set",
    "str", "string", "struct", "timestamp", "tuple", "unit", "usize", "uuid", "varchar",
];

/// Before a number they make it a code.
#[rustfmt::skip]
pub const BEFORE_CODES: &[&str] = &[
    "code", "errno", "error", "exit", "http", "signal", "sqlstate", "status",
];

/// Before a number of three digits, with nothing after it, they make it an HTTP status.
#[rustfmt::skip]
pub const BEFORE_STATUSES: &[&str] = &[
    "answered", "answers", "got", "received", "replied", "responded", "returned", "with",
];

/// The first words of the phrases of HTTP statuses.
#[rustfmt::skip]
pub const STATUS_PHRASES: &[&str] = &[
    "Accepted", "Bad", "Client", "Conflict", "Content", "Created", "Expectation", "Failed",
    "Forbidden", "Found", "Gateway", "Gone", "HTTP", "Internal", "Length", "Locked", "Method",
    "Misdirected", "Moved", "Multi", "Network", "No", "Not", "OK", "Payload", "Payment",
    "Permanent", "Precondition", "Proxy", "Range", "Request", "See", "Server", "Service",
    "Temporary", "Too", "URI", "Unauthorized", "Unavailable", "Unprocessable", "Unsupported",
    "Upgrade",
];

/// With a few digits after them they are the name of a type, an algorithm or a protocol.
#[rustfmt::skip]
pub const NUMBERED: &[&str] = &[
    "base", "boto", "decimal", "ec", "es", "f", "float", "h", "http", "i", "int", "ip", "ipv",
    "md", "oauth", "psycopg", "s", "sha", "sqlite", "u", "uint", "urllib", "utf", "wasip", "wasm",
    "x",
];

/// What the codes of databases and compilers begin with.
#[rustfmt::skip]
pub const CODE_PREFIXES: &[&str] = &[
    "DPY-", "E", "HY", "ORA-", "P", "SQL", "TS",
];

/// How the names of error classes end.
#[rustfmt::skip]
pub const ERROR_CLASSES: &[&str] = &[
    "Error", "Exception", "Failure", "Fault", "Exit", "Timeout", "Warning",
];

/// Last parts of a dotted name that make it a file, and no host.
#[rustfmt::skip]
pub const FILES: &[&str] = &[
    "c", "cjs", "cpp", "csv", "gif", "go", "html", "java", "jpeg", "jpg", "js", "json", "log",
    "mjs", "mp4", "parquet", "pdf", "php", "png", "py", "rb", "rs", "sql", "tar", "toml", "ts",
    "tsx", "txt", "wasm", "xlsx", "xml", "yaml", "yml", "zip",
];

/// What a number may be counted in. Longer ones first.
#[rustfmt::skip]
pub const UNITS: &[&str] = &[
    "milliseconds", "millisecond", "seconds", "minutes", "second", "minute", "bytes", "hours",
    "secs", "mins", "byte", "hour", "days", "sec", "min", "day", "KiB", "MiB", "GiB", "kB", "KB",
    "MB", "GB", "ns", "µs", "us", "ms", "B", "s", "m", "h", "d",
];

#[rustfmt::skip]
pub const MONTHS: &[&str] = &[
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[rustfmt::skip]
pub const DAYS: &[&str] = &[
    "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun",
];
