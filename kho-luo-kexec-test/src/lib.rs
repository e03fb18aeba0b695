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
