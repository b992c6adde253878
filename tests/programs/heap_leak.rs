// A Rust program that leaks 1000 buffers of 2000 bytes in leak_here and frees the rest.
use std::collections::HashMap;

// As std::hint's, which came with Rust 1.66.
#[inline(always)]
fn black_box<T: Copy>(x: T) -> T {
    unsafe { std::ptr::read_volatile(&x) }
}

#[inline(never)]
fn leak_here(i: usize) -> usize {
    let v: Vec<u8> = vec![i as u8; 2000];
    black_box(&*Vec::leak(v)).len()
}

#[inline(never)]
fn churn(i: usize, map: &mut HashMap<usize, String>) -> usize {
    map.insert(i % 97, format!("a text for the number {}", i));
    let mut v: Vec<u64> = Vec::new();
    for k in 0..(i % 50) as u64 {
        v.push(k);
    }
    v.len()
}

fn main() {
    let mut map = HashMap::new();
    let mut sum = 0;
    for i in 0..1000 {
        sum += leak_here(i);
        sum += churn(i, &mut map);
    }
    let t = std::thread::spawn(move || (0..1000).map(|i| churn(i, &mut map)).sum::<usize>());
    println!("{} {}", sum, t.join().unwrap());
}
