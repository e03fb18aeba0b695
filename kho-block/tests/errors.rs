//! Every error type of the crate: its texts, and the policy in `src/error.rs`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use kho_block::text::{self, TextError};
use kho_block::*;

/// Returns the errors to check, each with the name of its type.
fn errors() -> Vec<(&'static str, Box<dyn Error>)> {
    let addr = PhysAddr::new(0x5000);
    let reserve = {
        let memory = FaultyMemory::new(HeapMemory::new());
        memory.fail_after(0);
        BlockSet::<Unit, _>::new_in(&memory).try_reserve(1).unwrap_err()
    };
    let used_up =
        BlockSet::new_in(&HeapMemory::new()).writer().push_within_capacity(Unit(1)).unwrap_err();
    let mut full = BlockSet::new_in(HeapMemory::new());
    full.set_block_limit(0);
    let mut errors: Vec<(&str, Box<dyn Error>)> = vec![
        ("ReadError", ReadError::new(addr, ReadErrorKind::Outside).into()),
        ("AllocError", AllocError::new(AllocErrorKind::Full).into()),
        ("ClaimError", ClaimError::new(addr, ClaimErrorKind::Owned).into()),
        ("RestoreError", RestoreError::new(addr, 3, RestoreErrorKind::Cycle).into()),
        ("ReserveError", reserve.into()),
        ("PushError", used_up.into()),
        ("PushError", full.push(Unit(1)).unwrap_err().into()),
        ("PushErrorKind", PushErrorKind::CapacityUsed.into()),
        ("PushErrorKind", PushErrorKind::Reserve(reserve).into()),
        ("TextError", text::to_field::<1>("vm1").unwrap_err().into()),
        ("TextError", TextError::Zero { at: 2 }.into()),
        ("DumpError", DumpError::Overlap { addr }.into()),
        ("DumpError", DumpError::PastEnd { addr }.into()),
        ("PageError", PageMemory::new().add_free(PhysAddr::NULL, &mut []).unwrap_err().into()),
        ("MemfdError", MemfdError::NotSealed.into()),
        ("MemfdError", MemfdError::System { call: "mmap", errno: 12 }.into()),
        ("FromFdError", {
            let file = fs::File::open("/dev/null").unwrap();
            SealedMemfd::open(file.into()).unwrap_err().into()
        }),
    ];
    {
        use ReadErrorKind::*;
        errors.extend([Outside, NotPreserved, Failed].map(|kind| ("ReadErrorKind", kind.into())));
    }
    {
        use AllocErrorKind::*;
        let kinds = [OutOfMemory, Full, Sealed, FileSizeLimit];
        errors.extend(kinds.map(|kind| ("AllocErrorKind", kind.into())));
    }
    {
        use ClaimErrorKind::*;
        let kinds = [Misaligned, Outside, NotPreserved, Owned, OutOfMemory];
        errors.extend(kinds.map(|kind| ("ClaimErrorKind", kind.into())));
    }
    {
        use RestoreErrorKind::*;
        let kinds = [
            Misaligned,
            Outside,
            NotPreserved,
            Owned,
            Cycle,
            TooLong { limit: 10 },
            NoEntries,
            TooManyEntries { count: 200, max: 127 },
            EntriesMisaligned,
            Failed,
            OutOfMemory,
        ];
        errors.extend(kinds.map(|kind| ("RestoreErrorKind", kind.into())));
    }
    {
        use PageErrorKind::*;
        let kinds = [Null, Misaligned, Length { len: 10 }, BytesMisaligned, Duplicate, Outside];
        errors.extend(kinds.map(|kind| ("PageErrorKind", kind.into())));
    }
    {
        use ReserveErrorKind::*;
        let kinds = [OutOfMemory, Full, Sealed, FileSizeLimit, TooLong { limit: 10 }];
        errors.extend(kinds.map(|kind| ("ReserveErrorKind", kind.into())));
    }
    errors
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable, Entry)]
#[bytemuck(crate = "kho_block::bytemuck")]
#[repr(C)]
struct Unit(u64);

/// This is what a program prints if its `main` returns the error.
#[test]
fn debug_is_the_text_and_then_the_sources() {
    for (name, error) in errors() {
        let mut expected = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            expected += &format!(": {error}");
            source = error.source();
        }
        assert_eq!(format!("{error:?}"), expected, "{name}");
        assert_eq!(format!("{error:#?}"), expected, "{name}");
    }
}

#[test]
fn a_cause_is_part_of_the_text_or_a_source() {
    for (name, error) in errors() {
        let text = error.to_string();
        let source = error.source().map(ToString::to_string);
        let is_twice = source.is_some_and(|source| text.contains(&source));
        assert!(!is_twice, "{name} tells its cause twice: {text}");
    }
}

#[test]
fn texts_are_phrases() {
    for (name, error) in errors() {
        let text = error.to_string();
        let first = text.chars().next().expect("an error says something");
        assert!(!first.is_uppercase() && !text.ends_with('.'), "{name}: {text}");
    }
}

/// Finds the error types in the source, so that none is missing above.
#[test]
fn no_error_type_is_left_out() {
    let mut declared = BTreeSet::new();
    find_errors(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut declared);
    let tested = errors().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(declared, tested);
}

fn find_errors(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_errors(&path, found);
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Some(declaration) = line.strip_prefix("pub ") else { continue };
            let mut words = declaration.split(|c: char| !c.is_alphanumeric());
            if let (Some("struct" | "enum"), Some(name)) = (words.next(), words.next()) {
                if name.ends_with("Error") || name.ends_with("ErrorKind") {
                    found.insert(name.to_owned());
                }
            }
        }
    }
}
