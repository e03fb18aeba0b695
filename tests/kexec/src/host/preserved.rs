//! Pages of a memfd that the kernel has preserved, and chains that are written into them.
//!
//! Formats: Linux 7.2, `include/linux/kho/abi/memfd.h` and `kexec_handover.h`.

use anyhow::{Context, Result, ensure};
use bytemuck::{Pod, Zeroable};
use kho_block::{PageMemory, PhysAddr, ReadMemory};
use kho_luo::FileState;

use super::machine::GuestRam;

const PAGE_SIZE: u64 = 4096;

/// The description of a preserved memfd, to which its file entry points. C: `struct memfd_luo_ser`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Memfd {
    pos: u64,
    size: u64,
    seals: u32,
    flags: u32,
    folio_count: u64,
    first_chunk: u64,
    total_pages: u32,
    vmalloc_flags: u16,
    order: u16,
}

/// A page and its index in the memfd. C: `struct memfd_luo_folio_ser`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Folio {
    pfn_and_flags: u64,
    index: u64,
}

fn read<T: Pod>(memory: &impl ReadMemory, addr: u64) -> Result<T> {
    let mut value = T::zeroed();
    memory.read(PhysAddr::new(addr), bytemuck::bytes_of_mut(&mut value))?;
    Ok(value)
}

/// Returns the addresses of the pages of a preserved memfd, in the order of the file.
pub(crate) fn memfd_pages(memory: &impl ReadMemory, file: &FileState) -> Result<Vec<PhysAddr>> {
    ensure!(file.compatible == "memfd-v2", "the file is a {}, not a memfd-v2", file.compatible);
    let memfd: Memfd = read(memory, file.data)?;
    ensure!(memfd.folio_count <= 1 << 20, "{} folios", memfd.folio_count);
    // A chain of chunks lists the pages that hold the table of folios.
    let mut table = Vec::new();
    let mut chunk = memfd.first_chunk;
    while chunk != 0 && table.len() < memfd.total_pages as usize {
        let [next, pages @ ..]: [u64; 512] =
            bytemuck::cast(read::<[[u64; 128]; 4]>(memory, chunk)?);
        for page in pages.into_iter().take_while(|page| *page != 0) {
            table.extend((0..1 << memfd.order).map(|number| page + number * PAGE_SIZE));
        }
        chunk = next;
    }
    let per_page = PAGE_SIZE / size_of::<Folio>() as u64;
    let mut found = Vec::new();
    for number in 0..memfd.folio_count {
        let page =
            table.get(usize::try_from(number / per_page)?).context("the table is too short")?;
        let folio: Folio = read(memory, page + number % per_page * size_of::<Folio>() as u64)?;
        found.push((
            folio.index,
            PhysAddr::new((folio.pfn_and_flags & ((1 << 52) - 1)) * PAGE_SIZE),
        ));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, page)| page).collect())
}

/// A page, aligned for entries.
type Page = [u128; 256];

/// Copies of preserved pages of the stopped machine, to write chains in. `store` puts them back.
pub(crate) struct Stage {
    pages: Vec<(PhysAddr, Box<Page>)>,
}

impl Stage {
    /// Makes empty pages, to be used in this order.
    pub(crate) fn new(addrs: impl IntoIterator<Item = PhysAddr>) -> Self {
        Self { pages: addrs.into_iter().map(|addr| (addr, Box::new([0; 256]))).collect() }
    }

    /// Returns a memory of all pages, each of them free.
    pub(crate) fn free(&mut self) -> Result<PageMemory<'_>> {
        let memory = PageMemory::new();
        for (addr, page) in &mut self.pages {
            memory.add_free(*addr, bytemuck::bytes_of_mut(&mut **page))?;
        }
        Ok(memory)
    }

    /// Returns a memory of all pages. Pages of zeros are free, the others are preserved blocks.
    pub(crate) fn preserved(&mut self) -> Result<PageMemory<'_>> {
        let memory = PageMemory::new();
        for (addr, page) in &mut self.pages {
            let bytes = bytemuck::bytes_of_mut(&mut **page);
            if bytes.iter().all(|byte| *byte == 0) {
                memory.add_free(*addr, bytes)?;
            } else {
                memory.add_preserved(*addr, bytes)?;
            }
        }
        Ok(memory)
    }

    /// Writes a number into a block, `offset` bytes from its start.
    pub(crate) fn set(&mut self, block: PhysAddr, offset: usize, value: u64) -> Result<()> {
        self.write(block, offset, &value.to_ne_bytes())
    }

    /// Writes bytes into a block, `offset` bytes from its start.
    pub(crate) fn write(&mut self, block: PhysAddr, offset: usize, bytes: &[u8]) -> Result<()> {
        let page = self.page(block)?;
        page.get_mut(offset..offset + bytes.len()).context("past the page")?.copy_from_slice(bytes);
        Ok(())
    }

    fn page(&mut self, block: PhysAddr) -> Result<&mut [u8]> {
        let mut pages = self.pages.iter_mut();
        let (_, page) =
            pages.find(|(addr, _)| *addr == block).context("not a page of the stage")?;
        Ok(bytemuck::bytes_of_mut(&mut **page))
    }

    /// Copies pages from the machine.
    pub(crate) fn load(ram: &GuestRam, addrs: impl IntoIterator<Item = PhysAddr>) -> Result<Self> {
        let mut stage = Self::new(addrs);
        for (addr, page) in &mut stage.pages {
            ram.read(*addr, bytemuck::bytes_of_mut(&mut **page))?;
        }
        Ok(stage)
    }

    /// Fills the unused part of a block with copies of its first entry. Returns the length of that
    /// part in bytes.
    pub(crate) fn fill_unused(&mut self, block: PhysAddr, entry_size: usize) -> Result<usize> {
        let (header, entries) = self.page(block)?.split_at_mut(HEADER_SIZE);
        let count: u64 = bytemuck::pod_read_unaligned(&header[COUNT..][..8]);
        let used =
            usize::try_from(count)?.checked_mul(entry_size).context("the count is too high")?;
        let (used, unused) = entries.split_at_mut_checked(used).context("the count is too high")?;
        for (byte, copied) in unused.iter_mut().zip(used[..entry_size].iter().cycle()) {
            *byte = *copied;
        }
        Ok(unused.len())
    }

    /// Writes the pages back into the machine.
    pub(crate) fn store(&self, ram: &GuestRam) -> Result<()> {
        for (addr, page) in &self.pages {
            ram.write(*addr, bytemuck::bytes_of(&**page))?;
        }
        Ok(())
    }
}

/// Offset in a block of the address of the next one.
pub(crate) const NEXT: usize = 0;

/// Offset in a block of the number of entries.
pub(crate) const COUNT: usize = 8;

/// Offset in a block of the first entry.
pub(crate) const HEADER_SIZE: usize = 16;
