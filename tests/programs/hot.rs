// Closures, generics, traits and threads: names of every shape, in legacy and v0 mangling.
use std::collections::HashMap;
use std::thread;

trait Work {
    fn burn(&self, n: u64) -> u64;
}
struct Mixer<T>(T);
impl Work for Mixer<u64> {
    #[inline(never)]
    fn burn(&self, n: u64) -> u64 {
        let mut x = self.0;
        for i in 0..n {
            x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(i));
        }
        x
    }
}
#[inline(never)]
fn apply<F: Fn(u64) -> u64>(f: F, n: u64) -> u64 {
    f(n)
}
fn main() {
    let handles: Vec<_> = (0..3u64)
        .map(|i| {
            thread::spawn(move || {
                let m = Mixer(i);
                apply(|n| m.burn(n) ^ i, 400_000_000)
            })
        })
        .collect();
    let sums: Vec<u64> = handles.into_iter().map(|h| h.join().unwrap()).collect();
    let mut map = HashMap::new();
    for i in 0..400_000u64 {
        *map.entry(i % 9973).or_insert(0u64) += i;
    }
    println!("{:?} {}", sums, map.len());
}
