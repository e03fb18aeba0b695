//! flatbuffers: built in a buffer, since it builds from the end, then written to the file at once;
//! verified and read in place. Sessions are a vector of structs, everything else is a table.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use ::flatbuffers::{FlatBufferBuilder, WIPOffset, root};
use anyhow::Context as _;
use kho_block::SealedMemfd;
use kho_examples::live::{LiveFile, LiveMap, LiveProcess};

use super::{Digest, File, Format, LiveSession, Map, Output, Process, Session};

/// Made from `flatbuffers/table.fbs` by `flatc --rust`, version 25.12.19.
#[allow(unsafe_code, unused, unreachable_pub, rust_2018_idioms, missing_docs)]
#[allow(clippy::all, clippy::restriction)]
#[rustfmt::skip]
mod table_generated;

use table_generated as table;

/// flatbuffers.
pub struct Flatbuffers;

type Builder = FlatBufferBuilder<'static>;

impl Format<LiveSession> for Flatbuffers {
    const NAME: &'static str = "flatbuffers";

    type Prepared = (Output, Builder);

    type Rest = Builder;

    fn prepare(live: &[LiveSession], len: Option<u64>) -> anyhow::Result<Self::Prepared> {
        prepare(live, len, build_sessions)
    }

    fn freeze(
        (output, builder): Self::Prepared,
        live: &[LiveSession],
    ) -> anyhow::Result<(OwnedFd, Builder)> {
        write(output, builder, live, build_sessions)
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for session in root::<table::Sessions<'_>>(file.as_bytes())?.sessions() {
            Session {
                id: session.id(),
                owner: session.owner(),
                expires: session.expires(),
                flags: session.flags(),
            }
            .add_to(&mut digest);
        }
        Ok(digest)
    }
}

impl Format<LiveProcess> for Flatbuffers {
    const NAME: &'static str = "flatbuffers";

    type Prepared = (Output, Builder);

    type Rest = Builder;

    fn prepare(live: &[LiveProcess], len: Option<u64>) -> anyhow::Result<Self::Prepared> {
        prepare(live, len, build_processes)
    }

    fn freeze(
        (output, builder): Self::Prepared,
        live: &[LiveProcess],
    ) -> anyhow::Result<(OwnedFd, Builder)> {
        write(output, builder, live, build_processes)
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for process in root::<table::Processes<'_>>(file.as_bytes())?.processes() {
            own_fields(process)?.add_to(&mut digest);
            for file in process.files() {
                open_file(file).add_to(&mut digest);
            }
            for map in process.maps() {
                memory_map(map).add_to(&mut digest);
            }
        }
        Ok(digest)
    }
}

/// With room for the live objects, which sessions take all of; for processes it has to grow. Where
/// the file's length is known, the builder is one that has had that much in it.
fn prepare<T>(
    live: &[T],
    len: Option<u64>,
    build: impl Fn(&mut Builder, &[T]),
) -> anyhow::Result<(Output, Builder)> {
    let mut builder = Builder::with_capacity(size_of_val(live) + 1024);
    if len.is_some() {
        build(&mut builder, live);
        builder.reset();
    }
    Ok((Output::new(len)?, builder))
}

fn write<T>(
    mut output: Output,
    mut builder: Builder,
    live: &[T],
    build: impl Fn(&mut Builder, &[T]),
) -> anyhow::Result<(OwnedFd, Builder)> {
    build(&mut builder, live);
    output.write_all(builder.finished_data())?;
    Ok((output.finish()?, builder))
}

fn build_sessions(builder: &mut Builder, live: &[LiveSession]) {
    let sessions = builder.create_vector_from_iter(live.iter().map(|live| {
        let Session { id, owner, expires, flags } = live.to_session();
        table::Session::new(id, owner, expires, flags)
    }));
    let args = table::SessionsArgs { sessions: Some(sessions) };
    let root = table::Sessions::create(builder, &args);
    builder.finish_minimal(root);
}

fn build_processes(builder: &mut Builder, live: &[LiveProcess]) {
    let processes: Vec<_> = live.iter().map(|process| build_process(builder, process)).collect();
    let args = table::ProcessesArgs { processes: Some(builder.create_vector(&processes)) };
    let root = table::Processes::create(builder, &args);
    builder.finish_minimal(root);
}

fn build_process(
    builder: &mut Builder,
    process: &LiveProcess,
) -> WIPOffset<table::Process<'static>> {
    let files: Vec<_> = process.files.iter().map(|file| build_file(builder, file)).collect();
    let maps: Vec<_> = process.maps.iter().map(|map| build_map(builder, map)).collect();
    let args = table::ProcessArgs {
        pid: process.pid,
        parent: process.parent,
        start_time: process.start_time,
        resident_bytes: process.resident_bytes,
        virtual_bytes: process.virtual_bytes,
        state: process.state.into(),
        name: Some(builder.create_string(&process.name)),
        files: Some(builder.create_vector(&files)),
        maps: Some(builder.create_vector(&maps)),
    };
    table::Process::create(builder, &args)
}

fn build_file(builder: &mut Builder, file: &LiveFile) -> WIPOffset<table::File<'static>> {
    let args = table::FileArgs {
        number: file.number,
        flags: file.flags,
        position: file.position,
        target: Some(builder.create_string(&file.target)),
    };
    table::File::create(builder, &args)
}

fn build_map(builder: &mut Builder, map: &LiveMap) -> WIPOffset<table::Map<'static>> {
    let args = table::MapArgs {
        start: map.start,
        end: map.end,
        offset: map.offset,
        inode: map.inode,
        permissions: Some(builder.create_string(&map.permissions)),
        device: Some(builder.create_string(&map.device)),
        path: Some(builder.create_string(&map.path)),
    };
    table::Map::create(builder, &args)
}

fn own_fields(process: table::Process<'_>) -> anyhow::Result<Process<&str>> {
    Ok(Process {
        pid: process.pid(),
        parent: process.parent(),
        start_time: process.start_time(),
        resident_bytes: process.resident_bytes(),
        virtual_bytes: process.virtual_bytes(),
        state: char::from_u32(process.state()).context("the state is not a character")?,
        name: process.name(),
        files: Vec::new(),
        maps: Vec::new(),
    })
}

fn open_file(file: table::File<'_>) -> File<&str> {
    File {
        number: file.number(),
        flags: file.flags(),
        position: file.position(),
        target: file.target(),
    }
}

fn memory_map(map: table::Map<'_>) -> Map<&str> {
    Map {
        start: map.start(),
        end: map.end(),
        offset: map.offset(),
        inode: map.inode(),
        permissions: map.permissions(),
        device: map.device(),
        path: map.path(),
    }
}
