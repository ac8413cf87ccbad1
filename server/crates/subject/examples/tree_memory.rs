//! Prints what a subject costs in the subject tree: bytes, and time to insert,
//! find and filter. `cargo run --release -p gust-subject --example tree_memory`.
#![allow(clippy::print_stdout, reason = "an example's output is its purpose")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use gust_subject::SubjectTree;
use std::ops::ControlFlow;
use std::time::Instant;

fn main() {
    let shapes: [(&str, fn(u64) -> String); 3] = [
        ("a.b.lit.n, digits", |i| {
            format!(
                "evt.dev{:04}.temp.{:018}",
                i % 10_000,
                i.wrapping_mul(2_654_435_761) % 1_000_000_007
            )
        }),
        ("kv keys, random hex", |i| {
            let r = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("$KV.bucket.{:02x}.{:020x}", i % 256, r ^ (r >> 29))
        }),
        ("orders, dense", |i| format!("orders.eu.customer{:05}.{:09}", i % 20_000, i)),
    ];
    for n in [1_000_000u64, 10_000_000] {
        for (name, shape) in shapes {
            let mut tree = SubjectTree::new();
            let start = Instant::now();
            let mut bytes = 0;
            for i in 0..n {
                let s = shape(i);
                bytes += s.len();
                tree.insert(s.as_bytes(), [i; 2]);
            }
            let insert = start.elapsed();
            let start = Instant::now();
            let mut found = 0u64;
            for i in 0..1_000_000 {
                let s = shape(i * 7_919 % n);
                found += u64::from(tree.get(s.as_bytes()).is_some());
            }
            let find = start.elapsed();
            let start = Instant::now();
            let mut hits = 0u64;
            tree.for_each_match(b">", |_, _| {
                hits += 1;
                ControlFlow::Continue(())
            });
            println!(
                "{name}: {} subjects of {} B: {:.1} B/subject, insert {:.0} ns, find {:.0} ns \
                 ({found} found), walk {:.0} ns each ({hits})",
                tree.len(),
                bytes as u64 / n,
                tree.memory() as f64 / tree.len() as f64,
                insert.as_nanos() as f64 / n as f64,
                find.as_nanos() as f64 / 1e6,
                start.elapsed().as_nanos() as f64 / hits as f64,
            );
        }
    }
}
