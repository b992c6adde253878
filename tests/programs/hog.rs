// The hog of tests/hosts/hog.h with the locks of Rust's standard library: hog LOCK ROUNDS.
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

const VICTIMS: usize = 8;

extern "C" {
    fn clock_gettime(clock: i32, t: *mut [i64; 2]) -> i32;
    fn gettid() -> i32;
}

fn thread_ns() -> i64 {
    let mut t = [0i64; 2];
    unsafe { clock_gettime(3, &mut t) };
    t[0] * 1_000_000_000 + t[1]
}

// As std::hint's, which came with Rust 1.66.
fn black_box<T: Copy>(x: T) -> T {
    unsafe { std::ptr::read_volatile(&x) }
}

fn burn(ms: i64) {
    let end = thread_ns() + ms * 1_000_000;
    let mut x = 1u64;
    while thread_ns() < end {
        for i in 0..1000u64 {
            x = black_box(x.wrapping_mul(31).wrapping_add(i));
        }
    }
}

fn nap() {
    std::thread::sleep(Duration::from_micros(100));
}

fn asleep(tid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/self/task/{}/stat", tid)).unwrap_or_default();
    text.rfind(')').map_or(false, |i| text[i..].starts_with(") S"))
}

trait Lock: Send + Sync + 'static {
    fn held(&self, f: &mut dyn FnMut(), release: fn(&mut dyn FnMut()));
    fn pass(&self);
}

struct State {
    round: AtomicI32,
    entering: AtomicI32,
    passed: AtomicI32,
    tid: [AtomicI32; VICTIMS],
}

#[inline(never)]
fn hog_release(drop_it: &mut dyn FnMut()) {
    drop_it();
    black_box(0);
}

#[inline(never)]
fn victim_pass(lock: &dyn Lock) {
    lock.pass();
    black_box(0);
}

impl Lock for Mutex<u64> {
    fn held(&self, f: &mut dyn FnMut(), release: fn(&mut dyn FnMut())) {
        let mut guard = Some(self.lock().unwrap());
        f();
        release(&mut || drop(guard.take()));
    }
    fn pass(&self) {
        *self.lock().unwrap() += 1;
    }
}

impl Lock for RwLock<u64> {
    fn held(&self, f: &mut dyn FnMut(), release: fn(&mut dyn FnMut())) {
        let mut guard = Some(self.write().unwrap());
        f();
        release(&mut || drop(guard.take()));
    }
    fn pass(&self) {
        black_box(*self.read().unwrap());
    }
}

fn victim(lock: Arc<dyn Lock>, s: Arc<State>, me: usize, rounds: i32) {
    s.tid[me].store(unsafe { gettid() }, SeqCst);
    for round in 1..=rounds {
        while s.round.load(SeqCst) < round {
            nap();
        }
        s.entering.fetch_add(1, SeqCst);
        victim_pass(&*lock);
        s.passed.fetch_add(1, SeqCst);
    }
}

// Nanoseconds that the lock was held while all victims slept, and from the release until all had passed.
fn hog_round(lock: &dyn Lock, s: &State) -> (u128, u128) {
    let mut ns = 0;
    let mut end = Instant::now();
    s.entering.store(0, SeqCst);
    s.passed.store(0, SeqCst);
    lock.held(
        &mut || {
            s.round.fetch_add(1, SeqCst);
            while s.entering.load(SeqCst) < VICTIMS as i32 {
                nap();
            }
            for tid in &s.tid {
                while !asleep(tid.load(SeqCst)) {
                    nap();
                }
            }
            let begin = Instant::now();
            burn(5);
            end = Instant::now();
            ns = (end - begin).as_nanos();
        },
        hog_release,
    );
    while s.passed.load(SeqCst) < VICTIMS as i32 {
        nap();
    }
    (ns, end.elapsed().as_nanos())
}

fn run(name: &str, lock: Arc<dyn Lock>, rounds: i32) {
    let s = Arc::new(State {
        round: AtomicI32::new(0),
        entering: AtomicI32::new(0),
        passed: AtomicI32::new(0),
        tid: Default::default(),
    });
    let victims: Vec<_> = (0..VICTIMS)
        .map(|i| {
            let (lock, s) = (lock.clone(), s.clone());
            std::thread::spawn(move || victim(lock, s, i, rounds))
        })
        .collect();
    let (mut held, mut after) = (0, 0);
    for _ in 0..rounds {
        let (h, a) = hog_round(&*lock, &s);
        held += h * VICTIMS as u128;
        after += a * VICTIMS as u128;
    }
    for v in victims {
        v.join().unwrap();
    }
    let mut file = OpenOptions::new().create(true).append(true).open("numbers").unwrap();
    writeln!(file, "held_{} {}\nafter_{} {}", name, held, name, after).unwrap();
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let lock: Arc<dyn Lock> = match args[1].as_str() {
        "rwlock" => Arc::new(RwLock::new(0u64)),
        _ => Arc::new(Mutex::new(0u64)),
    };
    run(&args[1], lock, args[2].parse().unwrap());
}
