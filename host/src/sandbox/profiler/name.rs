//! A function's name, from the symbol that the name section has to what a person reads.

use super::super::text::sanitize;

/// The longest name, in bytes. It is the guest's text.
const NAME_MAX_BYTES: usize = 200;

/// A frame of a stack, as the component's name section has it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub symbol: Option<&'a str>,
    /// The core module's name.
    pub module: Option<&'a str>,
    /// The function's index in the module.
    pub index: u32,
}

/// The name in the function's own language: Rust's and C++'s symbols are demangled.
pub fn readable(frame: &Frame) -> String {
    let Some(symbol) = frame.symbol else {
        // As wasm tools print what has no name.
        let module = frame.module.unwrap_or("module");
        return sanitize(&format!("{module}!func[{}]", frame.index), NAME_MAX_BYTES);
    };
    sanitize(&demangled(symbol).unwrap_or_else(|| symbol.to_owned()), NAME_MAX_BYTES)
}

fn demangled(symbol: &str) -> Option<String> {
    if let Ok(name) = rustc_demangle::try_demangle(symbol) {
        // Without the hash that the compiler adds.
        return Some(format!("{name:#}"));
    }
    // Without this beginning, `f` is the type `float`.
    let symbol = symbol.starts_with("_Z").then(|| cpp_demangle::Symbol::new(symbol))?;
    symbol.ok()?.demangle().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_rust_and_c_plus_plus_become_names() {
        let check = |symbol, expect| {
            assert_eq!(readable(&Frame { symbol: Some(symbol), module: None, index: 7 }), expect);
        };
        check("_ZN5image6decode17h0123456789abcdefE", "image::decode");
        check("_RNvCs1234_7mycrate3foo", "mycrate::foo");
        check("_ZN2js9InterpretEi", "js::Interpret(int)");
        check("PyEval_EvalFrameDefault", "PyEval_EvalFrameDefault");
        check("f", "f");
        check("a\nb", "a\\nb");
        check(&"x".repeat(300), &format!("{}…", "x".repeat(200)));
    }

    #[test]
    fn a_function_without_a_name_has_its_module_and_index() {
        assert_eq!(readable(&Frame { symbol: None, module: Some("main"), index: 7 }), "main!func[7]");
        assert_eq!(readable(&Frame { symbol: None, module: None, index: 7 }), "module!func[7]");
    }
}
