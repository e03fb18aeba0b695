//! A process that may not write a file as long as a head. The limit is that of the whole process, so
//! this test has a program of its own.
#![cfg(target_os = "linux")]

use kho_block::{MemfdError, MemfdMemory, SetHead};
use kho_luo::{HeadError, LuoFile, PreserveMemfdErrorKind, store_head};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn a_head_past_the_file_size_limit_is_an_error() {
    let memory = MemfdMemory::new("kho-luo-test").unwrap();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(63), ..before }).unwrap();
    let stored = store_head(memory, SetHead::<LuoFile>::EMPTY);
    setrlimit(Resource::Fsize, before).unwrap();
    let error = MemfdError::FileSizeLimit { len: 64 };
    let error = PreserveMemfdErrorKind::Head(HeadError::Memfd(error));
    assert_eq!(stored.unwrap_err().kind, error);
}
