//! A message's body, as a command line gives it.

use std::io::Read;

use anyhow::Context;

/// A body as the command line gives it: itself, `-` for stdin, `@FILE` for a file.
pub fn read_body(body: &str) -> anyhow::Result<Vec<u8>> {
    if body == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read stdin")?;
        return Ok(bytes);
    }
    match body.strip_prefix('@') {
        Some(path) => std::fs::read(path).with_context(|| format!("cannot read {path}")),
        None => Ok(body.as_bytes().to_vec()),
    }
}
