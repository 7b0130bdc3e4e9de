//! Components in the text format, for what Rust cannot say.

/// The types of `wasq:worker/types`, in order: name and definition. A `$name` is one of those
/// before it.
const TYPES: [(&str, &str); 7] = [
    ("attribute-value", r#"(variant (case "text" string) (case "number" string) (case "binary" (list u8)))"#),
    ("attribute", r#"(record (field "name" string) (field "value" $attribute-value))"#),
    (
        "message",
        r#"(record (field "id" string) (field "kind" string) (field "body" (list u8)) (field "content-type" string)
             (field "attributes" (list $attribute)))"#,
    ),
    ("outcome", r#"(variant (case "done" (option (list u8))) (case "discard" string) (case "snooze" u64))"#),
    ("retry", r#"(record (field "reason" string) (field "after-ms" (option u64)))"#),
    ("unavailable", r#"(record (field "dependency" string) (field "reason" string) (field "after-ms" (option u64)))"#),
    ("failure", r#"(variant (case "retry" $retry) (case "unavailable" $unavailable) (case "reject" string))"#),
];

const HANDLE: &str = r#"(param "message" $message) (result (result $outcome (error $failure)))"#;

/// A handler whose core module has these `items`, and whose `handle` has this `body`, which gives
/// the address of its result. The memory is all zeros, and zeros say `done`.
pub fn handler(items: &str, body: &str) -> Vec<u8> {
    handler_with("", items, body)
}

/// A handler that imports something too.
pub fn handler_with(imports: &str, items: &str, body: &str) -> Vec<u8> {
    let realloc = "(func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 4096))";
    let core = format!("{realloc} {items} {}", exported_handle(body));
    Parts { imports, core: &core, ..Parts::default() }.component()
}

/// A handler as a file has it: the items of a core module, among them a function `$handle` that
/// gives the address of its result, and a `$realloc` where the usual one will not do. Before a line
/// `;; --- core` it may have a part `;; --- component` with items of the component, which make an
/// instance `$host` for the core module's imports. A file may be a whole component, too.
pub fn handler_file(text: &str) -> Vec<u8> {
    if text.contains("\n(component") {
        return component(text);
    }
    let (before, core) = match text.split_once(";; --- core") {
        Some((head, core)) => (head.split_once(";; --- component").map_or("", |(_, before)| before), core),
        None => ("", text),
    };
    // Imports stand before everything else.
    let (imports, items): (Vec<_>, Vec<_>) = core.lines().partition(|line| line.starts_with("(import"));
    let realloc = match core.contains("(func $realloc") {
        true => "(export \"realloc\" (func $realloc))",
        false => "(func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 4096))",
    };
    let core = format!("{}\n{realloc}\n{}", items.join("\n"), exported_handle("(call $handle)"));
    let arguments = if before.is_empty() { "" } else { "(with \"host\" (instance $host))" };
    Parts { imports: "", before, core_imports: &imports.join("\n"), core: &core, arguments }.component()
}

fn exported_handle(body: &str) -> String {
    format!("(func (export \"handle\") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {body})")
}

/// What handlers differ in.
#[derive(Default)]
struct Parts<'a> {
    imports: &'a str,
    before: &'a str,
    core_imports: &'a str,
    core: &'a str,
    /// Of the core module.
    arguments: &'a str,
}

impl Parts<'_> {
    fn component(&self) -> Vec<u8> {
        let Self { imports, before, core_imports, core, arguments } = self;
        let (mut types, mut aliases, mut inside, mut with) =
            (String::new(), String::new(), String::new(), String::new());
        for (name, definition) in TYPES {
            types += &format!("(type $own-{name} {definition}) (export \"{name}\" (type ${name} (eq $own-{name})))\n");
            aliases += &format!("(alias export $types \"{name}\" (type ${name}))\n");
            inside +=
                &format!("(type $own-{name} {definition}) (import \"in-{name}\" (type ${name} (eq $own-{name})))\n");
            with += &format!("(with \"in-{name}\" (type ${name}))\n");
        }
        let exports =
            ["message", "outcome", "failure"].map(|name| format!("(export $out-{name} \"{name}\" (type ${name}))\n"));
        let (exports, renamed) = (exports.concat(), HANDLE.replace('$', "$out-"));
        component(&format!(
            r#"(component
            {imports}
            (import "wasq:worker/types@0.1.0" (instance $types {types}))
            {aliases}
            {before}
            (core module $module
                {core_imports}
                (memory (export "memory") 1)
                {core})
            (core instance $instance (instantiate $module {arguments}))
            (func $handle {HANDLE} (canon lift (core func $instance "handle")
                (memory (core memory $instance "memory")) (realloc (core func $instance "realloc"))))
            (component $interface
                {inside}
                (import "in-handle" (func $handle {HANDLE}))
                {exports}
                (export "handle" (func $handle) (func {renamed})))
            (instance $exported (instantiate $interface {with} (with "in-handle" (func $handle))))
            (export "wasq:worker/handler@0.1.0" (instance $exported)))"#
        ))
    }
}

/// A handler that is done at once; it compiles in no time.
pub fn done() -> Vec<u8> {
    handler("", "(i32.const 1024)")
}

/// Any text, as WebAssembly.
pub fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}
