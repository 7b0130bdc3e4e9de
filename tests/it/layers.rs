//! The walls inside the crates: no circle of imports, and in the host no import of what stands
//! above, as the list in ARCHITECTURE.md has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file's module, from its crate's root: `["flow", "decide"]`.
type Module = Vec<String>;

/// Each module of a crate with those that it imports or names by a path. Tests may import whatever
/// they like.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

const CRATES: [&str; 9] =
    ["core", "queues", "ledgers", "host", "bench", "local-sqs", "sqs-rules", "toolchain", "sdk/rust"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn no_file_imports_one_that_imports_it() {
    for name in CRATES {
        let imports = imports(&root().join(name).join("src"));
        assert!(imports.len() > 1 || name == "sqs-rules" || name == "toolchain", "the files of {name} were not found");
        if let Some(circle) = circle(&imports) {
            let path: Vec<_> = circle.iter().map(shown).collect();
            panic!("a circle of imports in {name}: {}", path.join(" -> "));
        }
    }
}

#[test]
fn a_module_of_the_host_imports_only_what_stands_below_it() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let list = text.split("```text\n").find(|block| block.starts_with("cli ")).expect("the list of modules is there");
    let floors: Vec<Module> =
        list.split("```").next().unwrap().lines().map(|line| module(line.split(' ').next().unwrap())).collect();
    let imports = imports(&root().join("host/src"));
    // The longest entry that a module is in.
    let floor = |module: &Module| {
        let inside = floors.iter().enumerate().filter(|(_, floor)| module.starts_with(floor));
        inside.max_by_key(|(_, floor)| floor.len()).map(|(number, _)| number)
    };
    for (from, all) in &imports {
        if from.is_empty() {
            continue;
        }
        let own = floor(from).unwrap_or_else(|| panic!("{} is not in ARCHITECTURE.md's list", shown(from)));
        for to in all {
            assert!(
                floor(to).is_some_and(|other| other >= own),
                "{} imports {}, which stands above it",
                shown(from),
                shown(to)
            );
        }
    }
    assert!(floors.iter().all(|floor| imports.contains_key(floor)), "the list has a module that is not there");
}

#[test]
fn a_file_is_at_most_400_lines_long() {
    for name in CRATES {
        for path in sources(&root().join(name).join("src")) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 400, "{} has {lines} lines: it tells more than one story", path.display());
        }
    }
}

#[test]
fn a_path_is_read_with_all_its_braces() {
    let read = |text: &str| paths(text).into_iter().collect::<BTreeSet<_>>();
    let expect = |all: &[&str]| all.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        read("use crate::a::{self, b::{C, D}, e};\n"),
        expect(&["crate::a", "crate::a::b::C", "crate::a::b::D", "crate::a::e"])
    );
    assert_eq!(read("pub use x::Y;\nuse super::z as w;\n"), expect(&["super::z"]));
    assert_eq!(
        read("fn f() { crate::a::b(); super::super::c::D::e() }"),
        expect(&["crate::a::b", "super::super::c::D::e"])
    );
    assert_eq!(read("// crate::a::b\n"), expect(&[]));
    let made = |edges: &[(&str, &str)]| -> Imports {
        let mut imports = Imports::new();
        for (from, to) in edges {
            imports.entry(module(from)).or_default().insert(module(to));
            imports.entry(module(to)).or_default();
        }
        imports
    };
    assert_eq!(circle(&made(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert_eq!(circle(&made(&[("a", "b"), ("b", "c"), ("c", "b")])), Some(vec![module("b"), module("c"), module("b")]));
}

fn module(text: &str) -> Module {
    text.split("::").map(str::to_owned).collect()
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "the crate's root".into() } else { module.join("::") }
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all
}

/// The imports of every file of a crate but its tests and its binary.
fn imports(src: &Path) -> Imports {
    let mut texts = BTreeMap::new();
    for path in sources(src) {
        let relative = path.strip_prefix(src).unwrap().with_extension("");
        let mut module: Module = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if module == ["main"] || module.contains(&"tests".to_owned()) {
            continue;
        }
        if module == ["lib"] {
            module.clear();
        }
        texts.insert(module, std::fs::read_to_string(&path).unwrap());
    }
    let modules: BTreeSet<Module> = texts.keys().cloned().collect();
    let of = |(module, text): (&Module, &String)| {
        let named = paths(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
        let all = named.iter().filter_map(|path| resolved(path, module, &modules)).filter(|other| other != module);
        (module.clone(), all.collect())
    };
    texts.iter().map(of).collect()
}

/// The module that a path leads to, in its own crate.
fn resolved(path: &str, from: &Module, modules: &BTreeSet<Module>) -> Option<Module> {
    let mut parts = path.split("::").map(str::trim).peekable();
    let mut module = match *parts.peek()? {
        "crate" => Module::new(),
        "self" => from.clone(),
        "super" => from[..from.len().checked_sub(1)?].to_vec(),
        first => {
            let child = [&from[..], &[first.to_owned()]].concat();
            return modules.contains(&child).then(|| longest(child, parts.skip(1), modules));
        }
    };
    parts.next();
    while parts.next_if_eq(&"super").is_some() {
        module.pop();
    }
    Some(longest(module, parts, modules))
}

fn longest<'p>(mut module: Module, parts: impl Iterator<Item = &'p str>, modules: &BTreeSet<Module>) -> Module {
    for part in parts {
        module.push(part.to_owned());
        if !modules.contains(&module) {
            module.pop();
            break;
        }
    }
    module
}

/// The paths that a file imports, or names in its code. What it exports again is not its own.
fn paths(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut all = Vec::new();
    let mut rest = String::new();
    let mut statements = code.as_str();
    while let Some((before, after)) = statements.split_once("use ") {
        let line = before.rsplit('\n').next().unwrap_or_default();
        rest.push_str(before);
        let (tree, behind) = after.split_once(';').unwrap_or((after, ""));
        match line.trim() {
            "" => all.extend(leaves(tree)),
            exported if exported.starts_with("pub") && !exported.contains(' ') => {}
            _ => {
                // A word in the code that ends so.
                statements = after;
                continue;
            }
        }
        statements = behind;
    }
    rest.push_str(statements);
    for start in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(start) {
            let inside = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let path: String =
                rest[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
            if !inside {
                all.push(path.trim_end_matches(':').to_owned());
            }
        }
    }
    // `child::item` in the code is seen where the child is a module, which `resolved` knows.
    let words = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    all.extend(
        words.filter(|word| word.contains("::") && word.starts_with(|c: char| c.is_lowercase())).map(str::to_owned),
    );
    all.retain(|path| ["crate", "super", "self"].iter().any(|start| path.starts_with(start)) || path.contains("::"));
    all.iter().map(|path| path.trim_end_matches("::").to_owned()).filter(|path| !path.is_empty()).collect()
}

/// The paths of a tree: `a::{b, c::{d}}` has two.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, inside)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                all.extend(leaves(&inside[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    let joined = |leaf: String| {
        if leaf == "self" { prefix.trim_end_matches("::").to_owned() } else { format!("{prefix}{leaf}") }
    };
    all.into_iter().filter(|leaf| !leaf.is_empty()).map(joined).collect()
}

/// A circle, from a module back to it.
fn circle(imports: &Imports) -> Option<Vec<Module>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| visit(module, imports, &mut Vec::new(), &mut done))
}

fn visit(
    module: &Module,
    imports: &Imports,
    path: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(start) = path.iter().position(|other| other == module) {
        return Some([&path[start..], std::slice::from_ref(module)].concat());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.clone());
    let found = imports[module].iter().find_map(|other| visit(other, imports, path, done));
    path.pop();
    done.insert(module.clone());
    found
}
