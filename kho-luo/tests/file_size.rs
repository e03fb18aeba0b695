//! A process that may not write files of this size. Alone in its program, since the limit is the
//! process's.
#![cfg(target_os = "linux")]

use kho_block::{MemfdError, MemfdMemory, SetHead};
use kho_luo::{HeadError, LuoFile, PreserveMemoryErrorKind, store_head};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn a_head_that_may_not_be_written_is_an_error() {
    let memory = MemfdMemory::new("kho-luo-test").unwrap();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(63), ..before }).unwrap();
    let stored = store_head(memory, SetHead::<LuoFile>::EMPTY);
    setrlimit(Resource::Fsize, before).unwrap();
    let error = MemfdError::FileSizeLimit { len: 64 };
    let error = PreserveMemoryErrorKind::Head(HeadError::Memfd(error));
    assert_eq!(stored.unwrap_err().kind, error);
}
