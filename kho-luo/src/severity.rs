//! What the next kernel makes of a fault.

use crate::error::{
    FileErrorKind, FlbErrorKind, Part, RootErrorKind, SessionErrorKind, StateError,
};
use crate::name::NameError;
use crate::tree::TreeErrorKind;
use crate::warning::Warning;

/// What the next kernel makes of a fault, worst first: as much as is known of Linux 7.2 and 7.3,
/// whose code and behaviour `docs/kernel.md` compares with this crate's.
///
/// ```
/// use kho_luo::Severity;
///
/// assert!(Severity::Panic < Severity::AllLost);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// It panics while it boots, or dies of a page fault.
    Panic,
    /// It comes up, and all sessions are lost: nobody can open `/dev/liveupdate` until the next boot
    /// (`EIO`), whoever tries dies of it, or what was handed over is ignored as a whole.
    AllLost,
    /// It does not notice, and frees or reads memory that is something else's.
    Corruption,
    /// It does not notice, and sessions or files are missing.
    Lost,
    /// It does not mind.
    Accepted,
}

impl StateError {
    /// Returns what the next kernel makes of it.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Tree(error) => of_tree(&error.kind),
            Self::NotFound { .. } => Severity::AllLost,
            Self::Root { kind: RootErrorKind::Misaligned, .. } => Severity::Accepted,
            Self::Root { .. } | Self::Sessions(_) => Severity::Panic,
            Self::Session { kind, .. } => of_session(kind),
            Self::Flbs { kind, .. } => of_flbs(kind),
            Self::Shared { .. } => Severity::Corruption,
            Self::NotPreserved { part: Part::Flbs, .. } => Severity::Corruption,
            Self::NotPreserved { part, .. } | Self::Unreadable { part, .. } => match part {
                Part::Root | Part::Sessions => Severity::Panic,
                Part::Files { .. } => Severity::AllLost,
                Part::Flbs => Severity::Accepted,
            },
            Self::TooLarge { .. } | Self::More { .. } => Severity::Accepted,
        }
    }
}

const fn of_tree(kind: &TreeErrorKind) -> Severity {
    match kind {
        // Of its own node LUO wants two numbers, and a size that fits.
        TreeErrorKind::LuoTooSmall { .. } => Severity::Panic,
        TreeErrorKind::Missing { node, .. } | TreeErrorKind::NotANumber { node, .. }
            if !node.is_empty() =>
        {
            Severity::Panic
        }
        TreeErrorKind::Duplicate { .. } | TreeErrorKind::NoLuo => Severity::Accepted,
        _ => Severity::AllLost,
    }
}

const fn of_session(kind: &SessionErrorKind) -> Severity {
    match kind {
        SessionErrorKind::Name(NameError::NotTerminated) => Severity::Lost,
        // Without files the kernel only warns.
        SessionErrorKind::Name(_) | SessionErrorKind::Count { found: 0, .. } => Severity::Accepted,
        SessionErrorKind::Duplicate { .. }
        | SessionErrorKind::Files(_)
        | SessionErrorKind::Count { .. }
        | SessionErrorKind::File { kind: FileErrorKind::Compatible(_), .. } => Severity::AllLost,
        SessionErrorKind::File { kind: FileErrorKind::NotPreserved { .. }, .. } => {
            Severity::Corruption
        }
        SessionErrorKind::File { kind: FileErrorKind::DuplicateToken { .. }, .. } => Severity::Lost,
    }
}

const fn of_flbs(kind: &FlbErrorKind) -> Severity {
    match kind {
        FlbErrorKind::TooMany { .. } => Severity::Corruption,
        FlbErrorKind::Duplicate { .. } => Severity::Lost,
        // Nothing in Linux 7.2 and 7.3 but a test asks for an object.
        _ => Severity::Accepted,
    }
}

impl Warning {
    /// Returns what the next kernel makes of it, if it is what it may be.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::UnknownHandler { .. } => Severity::AllLost,
            Self::ShortBlock { part: Part::Sessions, .. } => Severity::Lost,
            Self::ShortBlock { .. }
            | Self::OlderRoot { .. }
            | Self::OtherVersion(_)
            | Self::More { .. } => Severity::Accepted,
        }
    }
}
