//! What it costs and whether it keeps time: `cargo bench` runs all of it, `cargo bench -- NAME` one part.
//!
//! Figures of these machines are noisy: quote ratios and percentiles, not single times. Where a limit is a ratio, both
//! sides are measured in turns in the same run.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that measures, run by hand: what goes wrong ends it"
)]

mod daemon;
mod exporter;
mod floor;
mod lateness;
mod memory;
mod one_shot;
mod peers;
mod postgres;
mod probes;
mod scrape;
mod startup;
mod table;
mod target;

/// Real programs, as the tests start them.
#[path = "../it/harness"]
mod real {
    #![expect(dead_code, reason = "the tests need more of it")]

    pub(crate) mod postgres;
    mod process;

    pub(crate) use self::process::{children, free_port, reap, signal};
}

/// A part's name, and what runs it and tells whether its limits hold.
type Part = (&'static str, fn() -> bool);

const PARTS: &[Part] = &[
    ("lateness", lateness::run),
    ("memory", memory::run),
    ("scrape", scrape::run),
    ("startup", startup::run),
    ("probes/http", probes::http),
    ("probes/https", probes::https),
    ("probes/tcp", probes::tcp),
    ("probes/postgres", postgres::run),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [word, file, rounds] = &*wanted
        && word == one_shot::WORD
    {
        return one_shot::process(file.as_ref(), rounds.parse().expect("a number"));
    }
    let mut good = true;
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            println!("== {name}");
            good &= run();
        }
    }
    if !good {
        std::process::exit(1);
    }
}
