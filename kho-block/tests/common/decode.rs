//! An independent decoder of the format, from the kernel's description.

/// A decoded chain: each block's address and the bytes of its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) blocks: Vec<(u64, Vec<u8>)>,
}

impl Decoded {
    /// Returns the bytes of all entries in order.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (_, bytes) in &self.blocks {
            all.extend_from_slice(bytes);
        }
        all
    }

    /// Returns the number of entries in each block.
    pub(crate) fn counts(&self, entry_size: usize) -> Vec<usize> {
        self.blocks.iter().map(|(_, bytes)| bytes.len() / entry_size).collect()
    }
}

/// Follows the chain at `head`. `read` fills a buffer from an address.
///
/// # Panics
/// Panics if the chain breaks a rule of the format.
pub(crate) fn decode(
    head: u64,
    block_size: usize,
    entry_size: usize,
    mut read: impl FnMut(u64, &mut [u8]),
) -> Decoded {
    let mut decoded = Decoded::default();
    let mut block = vec![0; block_size];
    let mut addr = head;
    while addr != 0 {
        assert!(addr % block_size as u64 == 0, "block {addr:#x} is not aligned");
        assert!(decoded.blocks.iter().all(|(seen, _)| *seen != addr), "cycle at {addr:#x}");
        read(addr, &mut block);
        let next = u64::from_ne_bytes(block[..8].try_into().unwrap());
        let count = u64::from_ne_bytes(block[8..16].try_into().unwrap());
        let count = usize::try_from(count).unwrap();
        assert!(count >= 1, "block {addr:#x} is empty");
        assert!(count <= (block_size - 16) / entry_size, "block {addr:#x} counts {count} entries");
        decoded.blocks.push((addr, block[16..][..count * entry_size].to_vec()));
        addr = next;
    }
    decoded
}
