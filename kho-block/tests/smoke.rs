use kho_block::bytemuck::{Pod, Zeroable};
use kho_block::*;
#[derive(Clone, Copy, Pod, Zeroable, Debug, PartialEq)]
#[repr(C)]
struct E4([u64; 4]);
impl Entry for E4 {
    const NAME: &'static str = "e4";
    const VERSION: u32 = 1;
    const LAYOUT: &'static EntryLayout = &EntryLayout::of::<E4>(&[Field::of::<[u64; 4]>("0", 0)]);
}
#[test]
fn smoke() {
    let m = MemfdMemory::new("x").unwrap();
    let n = 1_270_000u64;
    for _ in 0..3 {
        let t = std::time::Instant::now();
        let mut set = BlockSet::<E4, _>::new_in(&m);
        set.try_reserve(n as usize).unwrap();
        let t1 = t.elapsed();
        let mut w = set.writer();
        for i in 0..n {
            w.push_within_capacity(E4([i; 4])).unwrap();
        }
        drop(w);
        let t2 = t.elapsed();
        let s: u64 = set.iter().map(|e| e.0[0]).sum();
        assert_eq!(s, n * (n - 1) / 2);
        let t3 = t.elapsed();
        let head = set.hand_over();
        let t4 = t.elapsed();
        let set = BlockSet::restore(&m, head).unwrap();
        let t5 = t.elapsed();
        assert_eq!(set.len(), n as usize);
        let mut x = 0;
        for e in &set {
            x += e.0[1];
        }
        assert_eq!(s, x);
        println!(
            "reserve {t1:?} push {:?} fold {:?} handover {:?} restore {:?} for {:?}",
            t2 - t1,
            t3 - t2,
            t4 - t3,
            t5 - t4,
            t.elapsed() - t5
        );
    }
    println!("{:?}", m.usage());
}
