//! Code that the program on the host and the agent in the guest share. The agent is `/init`.
//!
//! The host boots a kernel, tells the agent to create sessions and files, and starts a second
//! kernel with kexec. Between the two it stops the machine, and reads or replaces what crosses.

pub mod content;
pub mod sys;
pub mod user_state;

/// The serial port on which host and agent talk. A command is a line, and so is the answer, which
/// starts with [`MARK`]. The other port is the kernel's console.
pub const PORT: &str = "/dev/ttyS1";

/// First character of each line that the agent writes. Other lines on the port are ignored.
pub const MARK: char = '@';

/// Argument of the second kernel. It tells the agent which of the two kernels it runs on.
pub const SECOND_KERNEL: &str = "kho_test.second";

/// Path of the second kernel in the first one's initramfs.
pub const KERNEL_PATH: &str = "/second/bzImage";

/// Path of the second kernel's initramfs in the first one's.
pub const INITRD_PATH: &str = "/second/initrd";

/// Command line of both kernels. After a panic the machine reboots, at which QEMU ends.
pub const KERNEL_ARGS: &str = "console=ttyS0 earlyprintk=serial,ttyS0 nokaslr no_timer_check \
     kho=on liveupdate=on panic=-1 printk.devkmsg=on loglevel=7";

/// Returns a session's name as a word of a command. Letters, digits, `-`, `_` and `.` stay as they
/// are; any other byte becomes `%` and two hexadecimal digits.
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

/// Returns the name that [`name_to_word`] made a word of; `None` for other words.
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
