//! From exec to serving, and to the end of the first full round: every probe has run once and `/-/ready` says so.
//!
//! First runs are spread over the interval, or over ten seconds where it is longer, so that a start is no burst: the
//! round can't end before that. What comes on top is the cost of the start.

use std::time::Duration;

use super::exporter::{Exporter, http_probes, target};

/// On top of the spread.
const ROUND: Duration = Duration::from_secs(1);
const SERVING: Duration = Duration::from_secs(2);

/// Prints it and tells whether the limits hold.
pub(crate) fn run() -> bool {
    let target = target();
    let mut good = true;
    println!("{:<8} {:>9} {:>12} {:>16} {:>14}", "probes", "interval", "serving ms", "first round ms", "CPU until ms");
    for (count, interval, spread) in
        [(10, "100ms", 0.1), (1_000, "1s", 1.0), (1_000, "30s", 10.0), (10_000, "30s", 10.0)]
    {
        let exporter = Exporter::start(&http_probes(count, target, interval));
        let serving = exporter.wait("/-/healthy");
        let round = exporter.wait("/-/ready");
        let fits = serving <= SERVING && round <= Duration::from_secs_f64(spread) + SERVING + ROUND;
        good &= fits;
        println!(
            "{count:<8} {interval:>9} {:>12.1} {:>16.0} {:>14.0}  {}",
            serving.as_secs_f64() * 1e3,
            round.as_secs_f64() * 1e3,
            exporter.cpu().as_secs_f64() * 1e3,
            if fits { "ok" } else { "MISSED" },
        );
    }
    good
}
