//! The traits that the public types implement, on which users may rely.

use std::fmt::Debug;
use std::hash::Hash;
use std::iter::FusedIterator;

use kho_block::abi::BlockHeader;
use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable, Entry)]
#[bytemuck(crate = "kho_block::bytemuck")]
#[repr(C)]
struct Number(u64);

/// Not `Debug`, since an entry need not be.
#[derive(Clone, Copy, Pod, Zeroable, Entry)]
#[bytemuck(crate = "kho_block::bytemuck")]
#[repr(C)]
struct Plain(u64);

fn value<T: Copy + Debug + Eq + Hash + Send + Sync>() {}
fn ordered<T: Ord + Default>() {}
fn iterator<I: ExactSizeIterator + FusedIterator + Debug + Send + Sync>() {}
fn cloneable<I: Clone + ExactSizeIterator + FusedIterator + Debug>() {}
fn shared<T: Debug + Send + Sync>() {}
fn sent<T: Debug + Send>() {}

#[test]
fn plain_values_compare_hash_and_print() {
    value::<PhysAddr>();
    value::<SetHead<Plain>>();
    value::<BlockHeader>();
    value::<BlockInfo>();
    value::<EntryLayout>();
    value::<Field>();
    value::<FieldKind>();
    value::<RestoreError>();
    value::<ReserveError>();
    value::<PushErrorKind>();
    ordered::<PhysAddr>();
    ordered::<SetHead<Plain>>();
}

#[test]
fn iterators_know_their_length_and_can_be_cloned() {
    cloneable::<Iter<'_, Plain, HeapMemory>>();
    cloneable::<Reader<'_, Plain, HeapMemory>>();
    cloneable::<Chunks<'_, Plain, HeapMemory>>();
    cloneable::<Slices<'_, Plain, HeapMemory>>();
    cloneable::<ForeignIter<'_, Plain, HeapMemory>>();
    iterator::<IterMut<'_, Plain, HeapMemory>>();
    iterator::<ChunksMut<'_, Plain, HeapMemory>>();
    sent::<Writer<'_, Plain, HeapMemory>>();
    shared::<BlockSet<Number, HeapMemory>>();
    shared::<SetView<'_, Number, DumpMemory<'_>>>();
    shared::<ForeignSet<'_, Plain, HeapMemory>>();
    shared::<ChainWalk<'_, HeapMemory>>();
}

#[test]
fn addresses_convert_and_heads_are_ordered_by_them() {
    let addr = PhysAddr::from(0x5000_u64);
    assert_eq!((u64::from(addr), format!("{addr:x} {addr:X}")), (0x5000, "5000 5000".to_owned()));
    let heads = [0x3000, 0, 0x1000].map(|addr| SetHead::<Number>::new(PhysAddr::new(addr)));
    assert_eq!(heads.iter().min(), Some(&SetHead::EMPTY));
    assert_eq!(heads.iter().max(), Some(&heads[0]));
}

#[test]
fn a_clone_of_a_view_outlives_it() {
    let mut block = vec![0; 4096];
    block[8..16].copy_from_slice(&1_u64.to_ne_bytes());
    block[16..24].copy_from_slice(&42_u64.to_ne_bytes());
    let mut dump = DumpMemory::new();
    dump.insert(PhysAddr::new(0x5000), block).unwrap();
    let view = SetView::<Number, _>::restore(&dump, SetHead::new(PhysAddr::new(0x5000))).unwrap();
    let clone = view.clone();
    let entry = &view[0];
    assert!(std::ptr::eq(entry, &clone[0]), "the clone shares the blocks");
    drop(view);
    assert_eq!((clone.len(), clone[0], clone.head().addr().get()), (1, Number(42), 0x5000));
}
