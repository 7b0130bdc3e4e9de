//! Dead letters that go in a ring: a queue whose DLQ is itself, or queues that are each other's.
//! Each letter would be received, fail and be sent on, thousands of times a second, for ever.

/// A queue: its name in the config, which queue it is, and which one its dead letters go to.
pub struct DeadLetterEdge {
    pub name: String,
    pub queue: String,
    pub dlq: String,
}

/// The names of the queues in a ring, in the order in which letters go round. None if there is no
/// ring.
pub fn dead_letter_ring(edges: &[DeadLetterEdge]) -> Option<Vec<&str>> {
    edges.iter().find_map(|first| {
        let mut names = vec![first.name.as_str()];
        let mut at = first;
        // A walk that is longer than all edges has gone round a ring of which `first` is no part;
        // that one is found from its own.
        while names.len() <= edges.len() {
            if at.dlq == first.queue {
                return Some(names);
            }
            at = edges.iter().find(|edge| edge.queue == at.dlq)?;
            names.push(&at.name);
        }
        None
    })
}

/// Why a ring of DLQs is refused, with the way out.
pub fn ring_rule(ring: &[&str]) -> String {
    let way_out =
        "what fails would be received and fail again, for ever; give one of them a DLQ that nothing here receives from";
    match ring {
        [_] => format!("the queue would be its own DLQ: {way_out}"),
        several => format!("dead letters would go from {} to {}: {way_out}", several.join(" to "), several[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_of_dead_letter_queues_is_found_wherever_it_begins() {
        let check = |edges: &[(&str, &str)], expect: Option<&[&str]>| {
            let edges: Vec<_> = edges
                .iter()
                .map(|(queue, dlq)| DeadLetterEdge {
                    name: queue.to_uppercase(),
                    queue: (*queue).to_owned(),
                    dlq: (*dlq).to_owned(),
                })
                .collect();
            assert_eq!(dead_letter_ring(&edges).as_deref(), expect);
        };
        check(&[], None);
        check(&[("a", "a-dlq"), ("b", "a-dlq")], None);
        check(&[("a", "b"), ("b", "c")], None);
        check(&[("a", "a")], Some(&["A"]));
        check(&[("a", "b"), ("b", "b")], Some(&["B"]));
        check(&[("a", "b"), ("b", "a")], Some(&["A", "B"]));
        check(&[("x", "a"), ("a", "b"), ("b", "c"), ("c", "a")], Some(&["A", "B", "C"]));
    }
}
