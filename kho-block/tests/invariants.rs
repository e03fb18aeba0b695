//! The invariants: the source and the documentation agree, and each one that is cited exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Returns the texts that follow `**X1**` in a list, by number.
fn declared(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut number = None;
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches("//!").trim_start_matches("///").trim();
        if let Some((name, rest)) = line.strip_prefix("- **").and_then(|line| line.split_once("**"))
        {
            number = is_number(name).then(|| name.to_owned());
            if let Some(number) = &number {
                found.insert(number.clone(), rest.trim().to_owned());
            }
        } else if line.is_empty() || line.starts_with('|') {
            number = None;
        } else if let Some(number) = &number {
            let text = found.get_mut(number).expect("it was inserted before");
            *text += " ";
            *text += line;
        }
    }
    found
}

/// Returns whether a word is the number of an invariant, as in `I3`.
fn is_number(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|letter| "IHGEAP".contains(letter))
        && chars.next().is_some_and(|digit| digit.is_ascii_digit())
        && chars.next().is_none()
}

fn source_files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

fn sources() -> Vec<String> {
    let mut found = Vec::new();
    source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn the_source_has_the_invariants_of_the_format() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let format = declared(&fs::read_to_string(root.join("../docs/format.md")).unwrap());
    let source = declared(&fs::read_to_string(root.join("src/invariants.rs")).unwrap());
    assert!(!format.is_empty());
    assert_eq!(source, format);
}

#[test]
fn each_invariant_that_is_cited_is_declared() {
    let sources = sources();
    let declared: BTreeSet<String> =
        sources.iter().flat_map(|source| declared(source).into_keys()).collect();
    let comments = sources.iter().flat_map(|source| source.lines()).filter_map(|line| {
        let (_, comment) = line.split_once("//")?;
        Some(comment)
    });
    let words = comments.flat_map(|comment| comment.split(|c: char| !c.is_alphanumeric()));
    let cited: BTreeSet<String> = words.filter(|word| is_number(word)).map(str::to_owned).collect();
    assert!(cited.contains("I3") && cited.contains("G1"));
    assert_eq!(cited.difference(&declared).collect::<Vec<_>>(), Vec::<&String>::new());
}
