// Closures, generics, traits and threads: names of every shape, in legacy and v0 mangling. With any argument it makes
// the file `warm` after that, and burns until there is a file `enough`, and a little more.
use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::thread;

// As std::hint's, which came with Rust 1.66.
#[inline(always)]
fn black_box<T: Copy>(x: T) -> T {
    unsafe { std::ptr::read_volatile(&x) }
}

trait Work {
    fn burn(&self, n: u64) -> u64;
}
struct Mixer<T>(T);
impl Work for Mixer<u64> {
    #[inline(never)]
    fn burn(&self, n: u64) -> u64 {
        let mut x = self.0;
        for i in 0..n {
            x = black_box(x.wrapping_mul(6364136223846793005).wrapping_add(i));
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
                apply(|n| m.burn(n) ^ i, 300_000_000)
            })
        })
        .collect();
    let sums: Vec<u64> = handles.into_iter().map(|h| h.join().unwrap()).collect();
    if env::args().count() > 1 {
        let m = Mixer(7);
        fs::write("warm", "").unwrap();
        while !Path::new("enough").exists() {
            black_box(apply(|n| m.burn(n), 1_000_000));
        }
        black_box(apply(|n| m.burn(n), 400_000_000));
    }
    let mut map = HashMap::new();
    for i in 0..400_000u64 {
        *map.entry(i % 9973).or_insert(0u64) += i;
    }
    println!("{:?} {}", sums, map.len());
}
