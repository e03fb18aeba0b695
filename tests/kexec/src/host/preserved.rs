//! The pages of a memfd that the kernel has preserved, and chains written into them.
//!
//! Formats: Linux 7.2, `include/linux/kho/abi/memfd.h` and `kexec_handover.h`.

use anyhow::{Context, Result, ensure};
use bytemuck::{Pod, Zeroable};
use kho_block::{PhysAddr, ReadMemory};
use kho_luo::{FileState, PageMemory};

use super::machine::GuestRam;

const PAGE_SIZE: u64 = 4096;

/// What a memfd's file entry leads to. C: `struct memfd_luo_ser`.
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

/// Which page is at which index. C: `struct memfd_luo_folio_ser`.
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

/// Where the pages of a preserved memfd are, in their order in the file.
pub(crate) fn memfd_pages(memory: &impl ReadMemory, file: &FileState) -> Result<Vec<PhysAddr>> {
    ensure!(file.compatible == "memfd-v2", "a file of {}", file.compatible);
    let memfd: Memfd = read(memory, file.data)?;
    ensure!(memfd.folio_count <= 1 << 20, "{} folios", memfd.folio_count);
    // The table of folios lies in pages that a chain of chunks lists.
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

/// A page, aligned as entries need it.
type Page = [u128; 256];

/// Preserved pages of the stopped machine, to write chains in. They are copies until they are stored.
pub(crate) struct Stage {
    pages: Vec<(PhysAddr, Box<Page>)>,
}

impl Stage {
    /// Pages in the order in which they are to be used.
    pub(crate) fn new(addrs: impl IntoIterator<Item = PhysAddr>) -> Self {
        Self { pages: addrs.into_iter().map(|addr| (addr, Box::new([0; 256]))).collect() }
    }

    /// The first so many pages, free to be allocated.
    pub(crate) fn free(&mut self) -> Result<PageMemory<'_>> {
        let memory = PageMemory::new();
        for (addr, page) in &mut self.pages {
            memory.add_free(*addr, bytemuck::bytes_of_mut(&mut **page))?;
        }
        Ok(memory)
    }

    /// The pages with what is in them; those that are still free can be allocated.
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

    /// Writes a number into a block; `offset` counts bytes.
    pub(crate) fn set(&mut self, block: PhysAddr, offset: usize, value: u64) -> Result<()> {
        self.write(block, offset, &value.to_ne_bytes())
    }

    /// Writes bytes into a block.
    pub(crate) fn write(&mut self, block: PhysAddr, offset: usize, bytes: &[u8]) -> Result<()> {
        let page = self.page(block)?;
        page.get_mut(offset..offset + bytes.len()).context("past the page")?.copy_from_slice(bytes);
        Ok(())
    }

    fn page(&mut self, block: PhysAddr) -> Result<&mut [u8]> {
        let mut pages = self.pages.iter_mut();
        let (_, page) = pages.find(|(addr, _)| *addr == block).context("not a page of ours")?;
        Ok(bytemuck::bytes_of_mut(&mut **page))
    }

    /// Pages as they are in the machine.
    pub(crate) fn load(ram: &GuestRam, addrs: impl IntoIterator<Item = PhysAddr>) -> Result<Self> {
        let mut stage = Self::new(addrs);
        for (addr, page) in &mut stage.pages {
            ram.read(*addr, bytemuck::bytes_of_mut(&mut **page))?;
        }
        Ok(stage)
    }

    /// Fills what a block has behind its entries with copies of the first one. Returns how many bytes
    /// that are.
    pub(crate) fn fill_unused(&mut self, block: PhysAddr, entry_size: usize) -> Result<usize> {
        let (header, entries) = self.page(block)?.split_at_mut(HEADER_SIZE);
        let count: u64 = bytemuck::pod_read_unaligned(&header[COUNT..][..8]);
        let used = usize::try_from(count)?.checked_mul(entry_size).context("a wild count")?;
        let (used, unused) = entries.split_at_mut_checked(used).context("a wild count")?;
        for (byte, copied) in unused.iter_mut().zip(used[..entry_size].iter().cycle()) {
            *byte = *copied;
        }
        Ok(unused.len())
    }

    /// Writes the pages into the machine.
    pub(crate) fn store(&self, ram: &GuestRam) -> Result<()> {
        for (addr, page) in &self.pages {
            ram.write(*addr, bytemuck::bytes_of(&**page))?;
        }
        Ok(())
    }
}

/// Where a block has the address of the next one.
pub(crate) const NEXT: usize = 0;

/// Where a block has the number of its entries.
pub(crate) const COUNT: usize = 8;

/// Where its entries begin.
pub(crate) const HEADER_SIZE: usize = 16;
