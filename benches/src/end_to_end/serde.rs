//! Formats of serde: serialised straight into the file, deserialised from the mapping, with text
//! borrowed where the format allows it.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use kho_block::SealedMemfd;
use kho_examples::live::LiveProcess;
use serde::{Deserialize, Serialize};

use super::{Digest, Format, LiveSession, Output, Process, Session};

/// A format that serde knows.
pub trait Serde {
    /// What the results call it.
    const NAME: &'static str;

    /// Writes a value.
    ///
    /// # Errors
    /// The value can't be written.
    fn serialize(output: &mut Output, value: &(impl Serialize + ?Sized)) -> anyhow::Result<()>;

    /// Reads a value.
    ///
    /// # Errors
    /// The bytes are not those of such a value.
    fn deserialize<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> anyhow::Result<T>;
}

/// Text in the file, or a copy of it if it is escaped there.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<F: Serde> Format<LiveSession> for F {
    const NAME: &'static str = F::NAME;

    type Prepared = Output;

    type Rest = ();

    fn prepare(_: &[LiveSession], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    fn freeze(mut output: Output, live: &[LiveSession]) -> anyhow::Result<(OwnedFd, ())> {
        F::serialize(&mut output, live)?;
        Ok((output.finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for session in F::deserialize::<Vec<Session>>(file.as_bytes())? {
            session.add_to(&mut digest);
        }
        Ok(digest)
    }
}

impl<F: Serde> Format<LiveProcess> for F {
    const NAME: &'static str = F::NAME;

    type Prepared = Output;

    type Rest = ();

    fn prepare(_: &[LiveProcess], len: Option<u64>) -> anyhow::Result<Output> {
        Output::new(len)
    }

    fn freeze(mut output: Output, live: &[LiveProcess]) -> anyhow::Result<(OwnedFd, ())> {
        F::serialize(&mut output, live)?;
        Ok((output.finish()?, ()))
    }

    fn read(file: &SealedMemfd) -> anyhow::Result<Digest> {
        let mut digest = Digest::default();
        for process in F::deserialize::<Vec<Process<Text<'_>>>>(file.as_bytes())? {
            process.add_to(&mut digest);
        }
        Ok(digest)
    }
}
