//! What the two sides of the test share: the program on the host, and the agent that is `/init` in
//! the guest.
//!
//! The host boots a kernel, has the agent create sessions and files, and starts a second kernel with
//! kexec. Between the two it stops the machine and reads, or replaces, what crosses.

pub mod content;
pub mod sys;
pub mod user_state;

/// The serial port on which host and agent talk: a command a line, and an answer that starts with
/// [`MARK`]. The other port is the kernel's console.
pub const PORT: &str = "/dev/ttyS1";

/// Starts every line of the agent, so that anything else on the port is told apart.
pub const MARK: char = '@';

/// On the command line of the second kernel, by which the agent knows where it is.
pub const SECOND_KERNEL: &str = "kho_test.second";

/// Where the agent finds the second kernel.
pub const KERNEL_PATH: &str = "/second/bzImage";

/// Where the agent finds what the second kernel starts with.
pub const INITRD_PATH: &str = "/second/initrd";

/// Command line of both kernels. A panic ends the machine, which QEMU does not start again.
pub const KERNEL_ARGS: &str = "console=ttyS0 earlyprintk=serial,ttyS0 nokaslr no_timer_check kho=on liveupdate=on panic=-1 \
     printk.devkmsg=on loglevel=7";

/// A session's name as a word of a command: what is no letter, digit or simple sign is a `%` and two
/// digits.
#[must_use]
pub fn name_to_word(name: &[u8]) -> String {
    name.iter().fold(String::new(), |mut word, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(byte) {
            word.push((*byte).into());
        } else {
            word.push_str(&format!("%{byte:02x}"));
        }
        word
    })
}

/// The name that a word stands for; none if it was not made by [`name_to_word`].
#[must_use]
pub fn word_to_name(word: &str) -> Option<Vec<u8>> {
    let mut parts = word.split('%');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, text) = part.split_at_checked(2)?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
        name.extend_from_slice(text.as_bytes());
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_word() {
        let all: Vec<u8> = (0..=255).collect();
        for name in [&all[..], b"", b"vm1", b"%", b"a=b c", b"\xff\n", "ü".as_bytes()] {
            let word = name_to_word(name);
            assert!(word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'='), "{word}");
            assert_eq!(word_to_name(&word).as_deref(), Some(name));
        }
        for word in ["%", "%4", "%zz", "a%", "%ü"] {
            assert_eq!(word_to_name(word), None, "{word}");
        }
    }
}
