//! In which line a key of the config stands.

use toml::de::{DeTable, DeValue};

/// The line of a key, written as errors have it: `queues.orders.wait`,
/// `plugins.mail.sign."https://s3.amazonaws.com".role`, `queues.orders.type_from[1]`. Of what the
/// text does not say it is the line of the table that would have it. None where that is not there
/// either.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (mut table, mut rest, mut found) = (root.get_ref(), key, None);
    loop {
        let named = table.iter().filter_map(|(name, value)| Some((name, value, without(rest, name.get_ref())?)));
        // `queues.orders.fifo.wait` is of the queue `orders.fifo`, although there may be one called
        // `orders`.
        let Some((name, value, below)) = named.min_by_key(|(_, _, below)| below.len()) else { break };
        found = Some(name.span().start);
        match (value.get_ref(), below.strip_prefix('.')) {
            (DeValue::Table(inner), Some(below)) => (table, rest) = (inner, below),
            _ => break,
        }
    }
    let before = &text.as_bytes()[..found?];
    Some(1 + before.iter().filter(|byte| **byte == b'\n').count())
}

/// What stands behind a name at the beginning of a key.
fn without<'k>(key: &'k str, name: &str) -> Option<&'k str> {
    let rest = key.strip_prefix(&format!("{name:?}")).or_else(|| key.strip_prefix(name))?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_where_it_stands_else_its_table() {
        let text = "scope = 's'\n\n[queues.orders]\nwait = '5s'\ntype_from = [\n  'a',\n]\n\n\
                    [plugins.mail]\ntimeout = '1s'\nsign.\"https://a.b\" = { role = 'r' }\n[queues.orders-eu]\n";
        let check = |key: &str, expect: Option<usize>| assert_eq!(line_of(text, key), expect, "{key}");
        check("scope", Some(1));
        check("queues.orders.wait", Some(4));
        check("queues.orders.type_from[1]", Some(5));
        check("queues.orders.visibility", Some(3));
        check("queues.orders-eu.wait", Some(12));
        check("plugins.mail.timeout", Some(10));
        check("plugins.mail.sign.\"https://a.b\".role", Some(11));
        check("plugins.mail.sign.\"https://a.b\"", Some(11));
        check("limits.steps", None);
        let names = "[queues.orders]\nfifo = 1\n[queues.'orders.fifo']\nwait = '5s'\n";
        assert_eq!(line_of(names, "queues.orders.fifo.wait"), Some(4));
    }
}
