//! bitcode: encoded into a buffer, since it writes column by column, then written to the file at
//! once; decoded from the mapping, with text borrowed.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use bitcode::{Buffer, Encode};
use kho_block::SealedMemfd;
use kho_examples::live::LiveProcess;

use super::{Digest, Format, LiveSession, Output, Process, Session};

/// bitcode.
pub struct Bitcode;

impl Format<LiveSession> for Bitcode {
    const NAME: &'static str = "bitcode";

    type Prepared = (Output, Buffer);

    type Rest = Buffer;

    fn prepare(live: &[LiveSession], len: Option<u64>) -> anyhow::Result<Self::Prepared> {
        prepare(live, len)
    }

    fn freeze(
        (output, buffer): Self::Prepared,
        live: &[LiveSession],
    ) -> anyhow::Result<(OwnedFd, Buffer)> {
        write(output, buffer, live)
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for session in bitcode::decode::<Vec<Session>>(file.as_bytes())? {
            session.add_to(&mut digest);
        }
        Ok(digest)
    }
}

impl Format<LiveProcess> for Bitcode {
    const NAME: &'static str = "bitcode";

    type Prepared = (Output, Buffer);

    type Rest = Buffer;

    fn prepare(live: &[LiveProcess], len: Option<u64>) -> anyhow::Result<Self::Prepared> {
        prepare(live, len)
    }

    fn freeze(
        (output, buffer): Self::Prepared,
        live: &[LiveProcess],
    ) -> anyhow::Result<(OwnedFd, Buffer)> {
        write(output, buffer, live)
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for process in bitcode::decode::<Vec<Process<&str>>>(file.as_bytes())? {
            process.add_to(&mut digest);
        }
        Ok(digest)
    }
}

/// Where the file's length is known, the buffer is one that has had that much in it.
fn prepare<T: Encode>(live: &[T], len: Option<u64>) -> anyhow::Result<(Output, Buffer)> {
    let mut buffer = Buffer::new();
    if len.is_some() {
        buffer.encode(live);
    }
    Ok((Output::new(len)?, buffer))
}

fn write<T: Encode>(
    mut output: Output,
    mut buffer: Buffer,
    live: &[T],
) -> anyhow::Result<(OwnedFd, Buffer)> {
    output.write_all(buffer.encode(live))?;
    Ok((output.finish()?, buffer))
}
