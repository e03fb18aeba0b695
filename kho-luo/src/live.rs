//! Sessions of the running kernel, and the files in them.

mod device;
mod error;
mod ioctl;
mod memfd;
mod session;

pub use device::LiveUpdate;
pub use error::{LiveUpdateError, LiveUpdateErrorKind, LiveUpdateOperation};
pub use memfd::{
    HeadError, MemfdHead, PreserveMemfdError, PreserveMemfdErrorKind, RetrieveMemfdError,
    load_head, store_head,
};
pub use session::{Session, SessionFromFdError};
