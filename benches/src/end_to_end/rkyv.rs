//! rkyv: archived straight from the live objects into the file, accessed in place after bytecheck has
//! gone over it. The mapping is aligned to a page, which is more than rkyv asks for.

use std::os::fd::OwnedFd;

use kho_block::SealedMemfd;
use kho_examples::live::{ArchivedLiveProcess, LiveFile, LiveMap, LiveProcess};
use rkyv::api::high::to_bytes_in;
use rkyv::rancor::Error;
use rkyv::ser::writer::IoWriter;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Archived, Serialize, access};

use super::{Digest, File, Format, LiveSession, Map, Output, Process, Session};

/// rkyv.
pub struct Rkyv;

#[derive(Archive, Serialize)]
struct Sessions<'a> {
    #[rkyv(with = InlineAsBox)]
    sessions: &'a [LiveSession],
}

#[derive(Archive, Serialize)]
struct Processes<'a> {
    #[rkyv(with = InlineAsBox)]
    processes: &'a [LiveProcess],
}

impl Format<LiveSession> for Rkyv {
    const NAME: &'static str = "rkyv";

    type Prepared = Output;

    fn prepare(_: &[LiveSession], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    type Rest = ();

    fn freeze(output: Output, sessions: &[LiveSession]) -> anyhow::Result<(OwnedFd, ())> {
        let writer = to_bytes_in::<_, Error>(&Sessions { sessions }, IoWriter::new(output))?;
        Ok((writer.into_inner().finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let root = access::<Archived<Sessions<'_>>, Error>(file.as_bytes())?;
        let mut digest = Digest::default();
        for session in &*root.sessions {
            Session {
                id: session.id.to_native(),
                owner: session.owner.to_native(),
                expires: session.expires.to_native(),
                flags: session.flags.to_native(),
            }
            .add_to(&mut digest);
        }
        Ok(digest)
    }
}

impl Format<LiveProcess> for Rkyv {
    const NAME: &'static str = "rkyv";

    type Prepared = Output;

    fn prepare(_: &[LiveProcess], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    type Rest = ();

    fn freeze(output: Output, processes: &[LiveProcess]) -> anyhow::Result<(OwnedFd, ())> {
        let writer = to_bytes_in::<_, Error>(&Processes { processes }, IoWriter::new(output))?;
        Ok((writer.into_inner().finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let root = access::<Archived<Processes<'_>>, Error>(file.as_bytes())?;
        let mut digest = Digest::default();
        for process in &*root.processes {
            own_fields(process).add_to(&mut digest);
            for file in process.files.iter() {
                open_file(file).add_to(&mut digest);
            }
            for map in process.maps.iter() {
                memory_map(map).add_to(&mut digest);
            }
        }
        Ok(digest)
    }
}

fn own_fields(process: &ArchivedLiveProcess) -> Process<&str> {
    Process {
        pid: process.pid.to_native(),
        parent: process.parent.to_native(),
        start_time: process.start_time.to_native(),
        resident_bytes: process.resident_bytes.to_native(),
        virtual_bytes: process.virtual_bytes.to_native(),
        state: process.state.to_native(),
        name: &process.name,
        files: Vec::new(),
        maps: Vec::new(),
    }
}

fn open_file(file: &Archived<LiveFile>) -> File<&str> {
    File {
        number: file.number.to_native(),
        flags: file.flags.to_native(),
        position: file.position.to_native(),
        target: &file.target,
    }
}

fn memory_map(map: &Archived<LiveMap>) -> Map<&str> {
    Map {
        start: map.start.to_native(),
        end: map.end.to_native(),
        offset: map.offset.to_native(),
        inode: map.inode.to_native(),
        permissions: &map.permissions,
        device: &map.device,
        path: &map.path,
    }
}
