//! Figures and their limits, as a table.

/// One line of it, in microseconds of CPU for one run.
pub(crate) struct Row<'a> {
    pub(crate) what: &'a str,
    /// The bare program, measured in turns with ours.
    pub(crate) floor: Option<f64>,
    pub(crate) ours: f64,
    pub(crate) limit: Limit,
    /// Another exporter, if it is installed.
    pub(crate) peer: Option<f64>,
}

/// What the figure must not exceed.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// So many times the floor.
    Ratio(f64),
    /// So many microseconds.
    Micros(f64),
}

/// Prints the head of a table.
pub(crate) fn head() {
    println!(
        "{:<26} {:>9} {:>9} {:>7} {:>7}  {:<7} {:>9} {:>10}",
        "CPU of one run", "floor us", "ours us", "ratio", "limit", "", "peer us", "peer/ours"
    );
}

impl Row<'_> {
    /// Prints it and tells whether the figure is within its limit.
    pub(crate) fn print(&self) -> bool {
        let ratio = self.floor.map(|floor| self.ours / floor);
        let (good, limit) = match self.limit {
            Limit::Ratio(limit) => (ratio.is_some_and(|ratio| ratio <= limit), format!("{limit:.2}")),
            Limit::Micros(limit) => (self.ours <= limit, format!("{limit:.0} us")),
        };
        let shown = |figure: Option<f64>, digits| figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}"));
        println!(
            "{:<26} {:>9} {:>9.1} {:>7} {:>7}  {:<7} {:>9} {:>10}",
            self.what,
            shown(self.floor, 1),
            self.ours,
            shown(ratio, 2),
            limit,
            if good { "ok" } else { "MISSED" },
            shown(self.peer, 0),
            shown(self.peer.map(|peer| peer / self.ours), 1),
        );
        good
    }
}

/// The middle one.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
