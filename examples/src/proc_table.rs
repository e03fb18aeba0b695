//! Reads the process table of this machine.
//!
//! It changes while it is read: processes end, and some may not be read at all.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use procfs::process::Process;
use procfs::{ProcError, ProcResult};
use rustix::io::Errno;

use crate::entries::{Missed, NAME_LEN, PATH_LEN, TARGET_LEN};
use crate::live::{LiveFile, LiveMapping, LiveProcess};

/// Returns all processes that can be read, in the order of their ids, and counts of what could not.
///
/// # Errors
/// Returns an error if `/proc` can't be listed, or has no processes.
///
/// # References
/// - [`proc(5)`](https://man7.org/linux/man-pages/man5/proc.5.html)
pub fn read() -> anyhow::Result<(Vec<LiveProcess>, Missed)> {
    let listed = procfs::process::all_processes().context("can't list the processes in /proc")?;
    let (processes, missed) = read_all(listed);
    ensure!(!processes.is_empty(), "there are no processes in /proc: is it mounted?");
    Ok((processes, missed))
}

fn read_all(listed: impl Iterator<Item = ProcResult<Process>>) -> (Vec<LiveProcess>, Missed) {
    let mut processes = Vec::new();
    let mut missed = Missed::default();
    for process in listed {
        match process.and_then(|process| read_process(&process, &mut missed)) {
            Ok(process) => processes.push(process),
            Err(error) if is_gone(&error) => missed.vanished += 1,
            Err(_) => missed.unreadable += 1,
        }
    }
    processes.sort_by_key(|process| process.pid);
    (processes, missed)
}

fn read_process(process: &Process, missed: &mut Missed) -> Result<LiveProcess, ProcError> {
    let stat = process.stat()?;
    let files = read_part(process, &mut missed.files_denied, read_files)?;
    let mappings = read_part(process, &mut missed.mappings_denied, read_mappings)?;
    let mut live = LiveProcess {
        pid: stat.pid,
        parent: stat.ppid,
        start_time: stat.starttime,
        resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
        virtual_bytes: stat.vsize,
        state: stat.state,
        name: stat.comm,
        files,
        mappings,
    };
    missed.paths_cut += cut_to_fields(&mut live);
    Ok(live)
}

/// Reads the files or the mappings of a process. If that is not allowed, counts it and returns none.
fn read_part<T>(
    process: &Process,
    denied: &mut u64,
    read: impl Fn(i32) -> io::Result<Vec<T>>,
) -> Result<Vec<T>, ProcError> {
    match read(process.pid) {
        Ok(part) => Ok(part),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            *denied += 1;
            Ok(Vec::new())
        }
        // A kernel thread or a zombie has none, and some kernels return an error for it. If the
        // process has ended, `stat` returns the error that says so.
        Err(error) if error.kind() == ErrorKind::NotFound || is_no_process(&error) => {
            process.stat().map(|_| Vec::new())
        }
        Err(error) => Err(ProcError::Io(error, None)),
    }
}

fn read_files(pid: i32) -> io::Result<Vec<LiveFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(proc_path(pid, "fd"))? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = || {
            let target = fs::read_link(entry.path())?;
            let info = proc_path(pid, "fdinfo").join(entry.file_name());
            io::Result::Ok((target, fs::read_to_string(info)?))
        };
        let (target, info) = match read() {
            // Closed since the directory was read. It is not open, so nothing is missed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            read => read?,
        };
        let flags =
            info_value(&info, "flags:").and_then(|octal| u32::from_str_radix(octal, 8).ok());
        let position = info_value(&info, "pos:").and_then(|decimal| decimal.parse().ok());
        files.push(LiveFile {
            number,
            flags: flags.unwrap_or(0),
            position: position.unwrap_or(0),
            target: target.to_string_lossy().into_owned(),
        });
    }
    files.sort_by_key(|file| file.number);
    Ok(files)
}

/// Returns the value in a line such as `flags: 0100002`.
fn info_value<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

fn read_mappings(pid: i32) -> io::Result<Vec<LiveMapping>> {
    let mappings = fs::read(proc_path(pid, "maps"))?;
    let mappings = String::from_utf8_lossy(&mappings);
    Ok(mappings.lines().filter_map(parse_mapping).collect())
}

/// Parses a line such as `55d0-55e0 r-xp 00002000 fe:01 1234    /usr/bin/cat`.
fn parse_mapping(line: &str) -> Option<LiveMapping> {
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let mut columns = line.splitn(6, ' ');
    let (start, end) = columns.next()?.split_once('-')?;
    Some(LiveMapping {
        start: hex(start)?,
        end: hex(end)?,
        permissions: columns.next()?.to_owned(),
        offset: hex(columns.next()?)?,
        device: columns.next()?.to_owned(),
        inode: columns.next()?.parse().ok()?,
        path: columns.next().unwrap_or_default().trim_start().to_owned(),
    })
}

fn proc_path(pid: i32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// Cuts texts that are longer than their fields, so that what is hashed is what can cross. Returns how
/// many paths were cut.
fn cut_to_fields(process: &mut LiveProcess) -> u64 {
    cut_name(&mut process.name, NAME_LEN);
    let targets = process.files.iter_mut().map(|file| cut_path(&mut file.target, TARGET_LEN));
    let paths = process.mappings.iter_mut().map(|mapping| cut_path(&mut mapping.path, PATH_LEN));
    targets.chain(paths).map(u64::from).sum()
}

/// Cuts a path to `max` bytes, at its start, since its end tells more. Returns whether it did.
fn cut_path(path: &mut String, max: usize) -> bool {
    const MARK: &str = "…";
    if path.len() <= max {
        return false;
    }
    let mut start = path.len() - (max - MARK.len());
    while !path.is_char_boundary(start) {
        start += 1;
    }
    path.replace_range(..start, MARK);
    true
}

/// Cuts a name to `max` bytes, at its end.
fn cut_name(name: &mut String, max: usize) {
    let mut end = name.len().min(max);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
}

/// Returns whether the error says that the process has ended.
fn is_gone(error: &ProcError) -> bool {
    match error {
        ProcError::NotFound(_) => true,
        ProcError::Io(error, _) => is_no_process(error),
        _ => false,
    }
}

/// Returns whether the error is the one for files in `/proc` whose process has ended.
fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_itself() {
        let me = i32::try_from(std::process::id()).unwrap();
        let (processes, missed) = read().unwrap();
        let process = processes.iter().find(|process| process.pid == me).expect("this process");
        assert!(process.files.iter().any(|file| file.number == 2), "standard error is open");
        assert!(process.mappings.iter().any(|mapping| mapping.path == "[stack]"));
        assert!(process.mappings.iter().any(|mapping| mapping.permissions == "r-xp"));
        assert!(process.resident_bytes > 0);
        assert_eq!(missed.unreadable, 0);
    }

    #[test]
    fn counts_a_process_that_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let list = || {
            let child = Process::new(i32::try_from(child.id()).unwrap());
            [child, Process::myself()].into_iter()
        };
        let (listed, again) = (list(), list());
        assert_eq!(read_all(listed).0.len(), 2);
        child.kill().unwrap();
        child.wait().unwrap();
        let (processes, missed) = read_all(again);
        assert_eq!((processes.len(), missed.vanished, missed.unreadable), (1, 1, 0));
    }

    #[test]
    fn cuts_between_characters() {
        for max in 3..12 {
            let mut path = "/ä/ö/ü/ß".to_string();
            let mut name = path.clone();
            let cut = cut_path(&mut path, max);
            assert!(path.len() <= max, "{path} has more than {max} bytes");
            assert_eq!(cut, path.starts_with('…'));
            assert!("/ä/ö/ü/ß".ends_with(path.trim_start_matches('…')));
            cut_name(&mut name, max);
            assert!(name.len() <= max && "/ä/ö/ü/ß".starts_with(&name), "{name}");
        }
    }

    #[test]
    fn parses_lines_of_mappings() {
        let line =
            "7f00-7f10 rw-s 00002000 fe:01 1234                 /a path/with  blanks (deleted)";
        let mapping = parse_mapping(line).unwrap();
        assert_eq!(
            (mapping.start, mapping.end, mapping.offset, mapping.inode),
            (0x7f00, 0x7f10, 0x2000, 1234)
        );
        assert_eq!(mapping.path, "/a path/with  blanks (deleted)");
        assert_eq!(parse_mapping("7f00-7f10 rw-p 00000000 00:00 0 ").unwrap().path, "");
        assert!(parse_mapping("7f00 rw-p").is_none());
    }
}
