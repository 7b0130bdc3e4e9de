//! Several keys in one statement.

use std::collections::HashSet;
use std::hash::Hash;

use crate::ledger::LedgerError;

/// Asks about several keys in one statement. One that is named again waits for the next, and a
/// damaged entry, which fails the statement for all of them, has each asked for by itself.
pub async fn in_rounds<P: Clone, K: Eq + Hash, T, A>(
    parts: &[P],
    key: fn(&P) -> K,
    ask: impl Fn(Vec<P>) -> A,
) -> Vec<Result<T, LedgerError>>
where
    A: Future<Output = Result<Vec<Result<T, LedgerError>>, LedgerError>>,
{
    let mut answers: Vec<Option<Result<T, LedgerError>>> = parts.iter().map(|_| None).collect();
    let mut left: Vec<usize> = (0..parts.len()).collect();
    while !left.is_empty() {
        let mut seen = HashSet::new();
        let (round, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|at| seen.insert(key(&parts[*at])));
        left = later;
        let asked: Vec<P> = round.iter().map(|at| parts[*at].clone()).collect();
        let answered = match ask(asked.clone()).await {
            Ok(told) => told,
            Err(LedgerError::Damaged(_)) if asked.len() > 1 => {
                let mut each = Vec::with_capacity(asked.len());
                for part in asked {
                    each.extend(ask(vec![part]).await.unwrap_or_else(|error| vec![Err(error)]));
                }
                each
            }
            Err(error) => asked.iter().map(|_| Err(error.clone())).collect(),
        };
        for (at, answer) in round.into_iter().zip(answered) {
            answers[at] = Some(answer);
        }
    }
    answers.into_iter().map(|answer| answer.expect("each part was in a round")).collect()
}
