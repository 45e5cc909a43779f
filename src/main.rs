//! Arguments, signals, exit codes; nothing else.
fn main() {}
