//! rkyv: archived straight from the live objects into the file, and accessed in place after a check
//! by bytecheck. The mapping is aligned to a page, which is more than rkyv asks for.

use std::os::fd::OwnedFd;

use kho_block::SealedMemfd;
use rkyv::api::high::{HighSerializer, HighValidator, to_bytes_in};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::ser::writer::IoWriter;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Archived, Serialize, access};

use super::{
    Digest, Format, LiveProcess, Mapping, Object as _, OpenFile, Output, Process, Session,
};

/// The format rkyv.
pub struct Rkyv;

/// The root of the archive, which rkyv requires to be sized.
#[derive(Archive, Serialize)]
struct Root<'a, Live> {
    #[rkyv(with = InlineAsBox)]
    objects: &'a [Live],
}

/// An object that rkyv can archive.
pub trait Archivable:
    Archive<Archived: for<'a> CheckBytes<HighValidator<'a, Error>>>
    + for<'a> Serialize<HighSerializer<IoWriter<Output>, ArenaHandle<'a>, Error>>
{
    /// Reads every field in place.
    fn add_archived_to(archived: &Self::Archived, digest: &mut Digest);
}

impl<Live: Archivable> Format<Live> for Rkyv {
    const NAME: &'static str = "rkyv";

    type Prepared = Output;

    type Rest = ();

    fn prepare(_: &[Live], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    fn freeze(output: Output, objects: &[Live]) -> anyhow::Result<(OwnedFd, ())> {
        let writer = to_bytes_in::<_, Error>(&Root { objects }, IoWriter::new(output))?;
        Ok((writer.into_inner().finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let root = access::<Archived<Root<'_, Live>>, Error>(file.as_bytes())?;
        let mut digest = Digest::default();
        for object in &*root.objects {
            Live::add_archived_to(object, &mut digest);
        }
        Ok(digest)
    }
}

impl Archivable for Session {
    #[inline]
    fn add_archived_to(session: &Archived<Self>, digest: &mut Digest) {
        let session = Self {
            id: session.id.to_native(),
            owner: session.owner.to_native(),
            expires: session.expires.to_native(),
            flags: session.flags.to_native(),
        };
        session.add_to(digest);
    }
}

impl Archivable for LiveProcess {
    #[inline]
    fn add_archived_to(process: &Archived<Self>, digest: &mut Digest) {
        let own_fields = Process {
            pid: process.pid.to_native(),
            parent: process.parent.to_native(),
            start_time: process.start_time.to_native(),
            resident_bytes: process.resident_bytes.to_native(),
            virtual_bytes: process.virtual_bytes.to_native(),
            state: process.state.to_native(),
            name: process.name.as_str(),
            files: Vec::new(),
            mappings: Vec::new(),
        };
        own_fields.add_to(digest);
        process.files.iter().for_each(|file| open_file(file).add_to(digest));
        process.mappings.iter().for_each(|mapped| mapping(mapped).add_to(digest));
    }
}

fn open_file(file: &Archived<OpenFile<String>>) -> OpenFile<&str> {
    OpenFile {
        number: file.number.to_native(),
        flags: file.flags.to_native(),
        position: file.position.to_native(),
        target: &file.target,
    }
}

fn mapping(mapping: &Archived<Mapping<String>>) -> Mapping<&str> {
    Mapping {
        start: mapping.start.to_native(),
        end: mapping.end.to_native(),
        offset: mapping.offset.to_native(),
        inode: mapping.inode.to_native(),
        permissions: &mapping.permissions,
        device: &mapping.device,
        path: &mapping.path,
    }
}
