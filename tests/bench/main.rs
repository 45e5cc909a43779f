//! What it costs and whether it keeps time: `cargo bench` runs all of it, `cargo bench -- NAME` one part.
//!
//! Figures of these machines are noisy: quote ratios and percentiles, not single times.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that measures, run by hand: what goes wrong ends it"
)]

mod lateness;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    type Part = (&'static str, fn() -> bool);
    let parts: [Part; 1] = [("lateness", lateness::run)];
    let mut good = true;
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            println!("== {name}");
            good &= run();
        }
    }
    if !good {
        std::process::exit(1);
    }
}
