//! `fn main() -> Result<(), Box<dyn Error>>` prints the `Debug` form of an error: that of every
//! error is its text. No error repeats the text of its source.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

use std::any::type_name;
use std::collections::BTreeSet;
use std::error::Error;
use std::io;

use kho_block::{DumpMemory, MemfdError, MemfdMemory, PhysAddr, ReadErrorKind, SetHead};
use kho_luo::{
    CompatibleName, FileErrorKind, FlbErrorKind, HeadError, KhoTree, KhoTreeErrorKind, LiveUpdate,
    LuoFile, LuoFlb, LuoState, NameError, PreservedMap, RetrieveMemfdError, RootErrorKind, Session,
    SessionErrorKind, StateError, StatePart, Warning, WriteSessionsError, store_head, write_flbs,
};
use rustix::fs::{SealFlags, fcntl_add_seals};

/// Checks errors, and collects the names of their types.
#[derive(Default)]
struct Checked(BTreeSet<&'static str>);

impl Checked {
    #[track_caller]
    fn check<E: Error + Send + Sync + 'static>(&mut self, error: E) {
        let (text, debug) = (error.to_string(), format!("{error:?}"));
        let mut expected = text.clone();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            assert!(!text.contains(&cause_text), "{text:?} repeats its source");
            expected += &format!(": {cause_text}");
            source = cause.source();
        }
        assert_eq!(debug, expected);
        assert!(!text.is_empty() && !text.ends_with('.'), "{text:?}");
        self.0.extend(type_name::<E>().rsplit("::").next());
    }
}

/// Returns the names of the errors that the crate exports.
fn exported() -> BTreeSet<&'static str> {
    include_str!("../src/lib.rs")
        .lines()
        .filter(|line| !line.starts_with("//"))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| word.len() > "Error".len())
        .filter(|word| word.ends_with("Error") || word.ends_with("ErrorKind") || *word == "Warning")
        .collect()
}

#[test]
fn every_error_is_readable() {
    let mut checked = Checked::default();
    let empty = DumpMemory::<4096>::new();
    let addr = PhysAddr::new(0x1000);

    checked.check(NameError::TooLong { len: 64, max: 63 });
    let read = KhoTree::read(&empty, addr).unwrap_err();
    checked.check(read.kind.clone());
    checked.check(read.clone());
    checked.check(KhoTreeErrorKind::Incompatible { found: None });
    let map = PreservedMap::new(&empty, addr).block_at(addr).unwrap_err();
    checked.check(map.kind);
    checked.check(map);

    checked.check(StateError::from(read.clone()));
    checked.check(LuoState::find(&empty, 0..0x5000).unwrap_err());
    checked.check(LuoState::read(&empty, addr).unwrap_err());
    checked.check(StateError::NotPreserved { addr, part: StatePart::Files { session: 3 } });
    checked.check(RootErrorKind::Incompatible { found: *b"luo-v6\0\0" });
    let kind = FileErrorKind::Compatible(NameError::Empty);
    checked.check(kind);
    let kind = SessionErrorKind::File { file: 5, kind };
    checked.check(kind);
    checked.check(StateError::Session { index: 1, name: None, kind });
    checked.check(FlbErrorKind::Unreadable(ReadErrorKind::Outside));
    checked.check(Warning::OtherVersion(Box::new(read.into())));

    let unused = LuoFlb::new(CompatibleName::new("x").unwrap(), 0, 0);
    checked.check(write_flbs(&mut [0; 4096], 4096, &[unused]).unwrap_err());
    let session = "vm1".try_into().unwrap();
    checked.check(WriteSessionsError::DuplicateToken { session, token: 7 });

    let no_session = Session::from_fd(io::pipe().unwrap().0.into()).unwrap_err();
    checked.check(no_session);
    // If the device exists, it refuses an empty name.
    let refused = match LiveUpdate::open() {
        Ok(luo) => luo.create_session("").unwrap_err(),
        Err(error) => error,
    };
    checked.check(refused.kind);
    checked.check(refused);
    let head = HeadError::Memfd(MemfdError::NotSealed);
    checked.check(head.clone());
    checked.check(HeadError::NoHead);
    checked.check(RetrieveMemfdError::Head(head));
    checked.check(RetrieveMemfdError::Retrieve(refused));
    let fd = MemfdMemory::new("kho-luo-test").unwrap().into_fd();
    let same = fd.try_clone().unwrap();
    // SAFETY: nobody writes through the other descriptor (I4).
    let memory: MemfdMemory = unsafe { MemfdMemory::from_fd(same) }.unwrap();
    fcntl_add_seals(&fd, SealFlags::FUTURE_WRITE).unwrap();
    let not_stored = store_head(memory, SetHead::<LuoFile>::EMPTY).unwrap_err();
    checked.check(not_stored.kind.clone());
    checked.check(not_stored);

    assert_eq!(checked.0, exported());
}
