//! What a run may record as finished steps.

/// The longest name of a step. No setting: names are literals in a handler's code, and every ledger
/// can keep them.
const NAME_MAX_BYTES: usize = 256;

/// What this run recorded so far.
#[derive(Default)]
pub struct Recorded {
    pub count: usize,
    pub bytes: usize,
}

/// # Errors
/// The rule that a step's name breaks.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(format!("a step's name has 1 to {NAME_MAX_BYTES} bytes"));
    }
    if name.starts_with('\0') {
        return Err("a step's name does not begin with NUL: such names are the host's".into());
    }
    Ok(())
}
