//! bitcode: encoded into a buffer, since it writes column by column, then written to the file at
//! once; decoded from the mapping, with text borrowed.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use bitcode::{Buffer, Decode, Encode};
use kho_block::SealedMemfd;

use super::{Digest, Format, LiveProcess, Object, Output, Process, Session};

/// The format bitcode.
pub struct Bitcode;

/// An object that bitcode can encode.
pub trait Coded: Encode {
    /// The object as it is decoded, with borrowed text.
    type Decoded<'a>: Decode<'a> + Object;
}

impl Coded for Session {
    type Decoded<'a> = Self;
}

impl Coded for LiveProcess {
    type Decoded<'a> = Process<&'a str>;
}

impl<Live: Coded> Format<Live> for Bitcode {
    const NAME: &'static str = "bitcode";

    type Prepared = (Output, Buffer);

    type Rest = Buffer;

    /// If the length of the file is known, the buffer is made to hold that much before the freeze.
    fn prepare(live: &[Live], len: Option<u64>) -> anyhow::Result<Self::Prepared> {
        let mut buffer = Buffer::new();
        if len.is_some() {
            buffer.encode(live);
        }
        Ok((Output::new(len)?, buffer))
    }

    fn freeze(
        (mut output, mut buffer): Self::Prepared,
        live: &[Live],
    ) -> anyhow::Result<(OwnedFd, Buffer)> {
        output.write_all(buffer.encode(live))?;
        Ok((output.finish()?, buffer))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for object in bitcode::decode::<Vec<Live::Decoded<'_>>>(file.as_bytes())? {
            object.add_to(&mut digest);
        }
        Ok(digest)
    }
}
