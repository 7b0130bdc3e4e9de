//! The Lua scripts. Each looks at the group's pending entries and changes them in one step, so that
//! nobody settles what is somebody else's by now.

use std::sync::LazyLock;

use redis::{Cmd, Script, ToRedisArgs, cmd};

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(&format!("{}\n{}", include_str!("common.lua"), include_str!($file))));
    };
}

script!(CHANGE, "change.lua");
script!(COUNT, "count.lua");
script!(DECLARE, "declare.lua");
script!(DELETE, "delete.lua");
script!(TAKE_DUE, "take_due.lua");
script!(TAKE_FIRST, "take_first.lua");
script!(TIDY, "tidy.lua");

/// A call of a script on a stream.
pub fn call(script: &Script, stream: &str, arguments: impl ToRedisArgs) -> Cmd {
    let mut call = cmd("EVALSHA");
    call.arg(script.get_hash()).arg(1).arg(stream).arg(arguments);
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_is_another() {
        let scripts = [&CHANGE, &COUNT, &DECLARE, &DELETE, &TAKE_DUE, &TAKE_FIRST, &TIDY];
        let hashes: std::collections::HashSet<_> = scripts.iter().map(|script| script.get_hash().to_owned()).collect();
        assert_eq!(hashes.len(), scripts.len());
    }
}
