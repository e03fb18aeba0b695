//! Unpacking the source from a package.

use std::fs;

use kho_linux_source::Archive;

use crate::debian::{FILES, SOURCE, files, package};

fn sorted<const N: usize>(mut names: [&str; N]) -> [&str; N] {
    names.sort_unstable();
    names
}

#[test]
fn some_files_or_all_but_some() {
    let dir = tempfile::tempdir().unwrap();
    let Some(deb) = package(dir.path(), SOURCE) else { return };
    let archive = Archive::new(deb, "linux-source-7.2".parse().unwrap());
    let [some, all] = ["some", "all"].map(|name| dir.path().join(name));
    fs::create_dir_all(&some).unwrap();
    fs::create_dir_all(&all).unwrap();
    archive.unpack_files(&FILES, &some).unwrap();
    assert_eq!(files(&some), sorted(FILES));
    for file in FILES {
        assert_eq!(fs::read_to_string(some.join(file)).unwrap(), format!("{file}, for a test\n"));
    }
    archive.unpack_all_but(&["*/sound/*.[ch]".to_owned()], &all).unwrap();
    let [a, b, c, d] = FILES;
    let more = ["Makefile", "arch/kernel/liveupdate/kho_block.c", "sound/Makefile", "virt/zeros"];
    let [e, f, g, h] = more;
    assert_eq!(files(&all), sorted([a, b, c, d, e, f, g, h]));
    // The wrapped archive is gone.
    let debs =
        fs::read_dir(dir.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(debs.count(), 1);
}

#[test]
fn what_is_missing_or_damaged_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let Some(deb) = package(dir.path(), SOURCE) else { return };
    let to = dir.path().join("to");
    fs::create_dir(&to).unwrap();
    let archive = |name: &str| Archive::new(deb.clone(), name.parse().unwrap());
    let error = archive("linux-source-7.2").unpack_files(&["COPYING", "nowhere.c"], &to);
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("linux-source-7.2") && error.contains("nowhere.c"), "{error}");
    let error = archive("linux-source-7.3").unpack_files(&["COPYING"], &to).unwrap_err();
    assert!(format!("{error:#}").contains("linux-source-7.3.tar.xz"), "{error:#}");
    let bytes = fs::read(&deb).unwrap();
    for len in [0, 8, 100, bytes.len() / 2, bytes.len() - 8] {
        fs::write(&deb, &bytes[..len]).unwrap();
        let archive = archive("linux-source-7.2");
        assert!(archive.unpack_all_but(&[], &to).is_err(), "{len} bytes");
        assert!(archive.unpack_files(&FILES, &to).is_err(), "{len} bytes");
    }
}

#[test]
fn one_wrong_byte_behind_all_files_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = SOURCE.to_vec();
    let index = source.len() - 20;
    source[index] ^= 1;
    let Some(deb) = package(dir.path(), &source) else { return };
    let archive = Archive::new(deb, "linux-source-7.2".parse().unwrap());
    let to = dir.path().join("to");
    fs::create_dir(&to).unwrap();
    assert!(archive.unpack_all_but(&[], &to).is_err());
}
