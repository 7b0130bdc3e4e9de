use super::*;

#[test]
fn ten_bodies_of_one_mib_are_split_by_bytes() {
    let message = |bytes: usize| Outgoing {
        body: vec![b'x'; bytes].into(),
        attributes: Attributes::new(),
        delay_s: 0,
        group: None,
        deduplication_id: None,
    };
    let check = |sizes: &[usize], expect: &[usize]| {
        let messages: Vec<_> = sizes.iter().map(|bytes| message(*bytes)).collect();
        assert_eq!(batches(&messages).iter().map(|batch| batch.len()).collect::<Vec<_>>(), expect);
    };
    check(&[MESSAGE_MAX_BYTES; 10], &[1; 10]);
    check(&[10; 25], &[10, 10, 5]);
    check(&[MESSAGE_MAX_BYTES - 10, 10, 10], &[2, 1]);
    check(&[], &[]);
}
