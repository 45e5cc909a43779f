//! Validates dependencies between probes: unknown probes and checks, and cycles.

use std::collections::HashMap;

use crate::document::{Diagnostics, Location, Node, NodeValue};

/// A probe in the dependency graph.
pub(super) struct DependencyNode {
    name: String,
    /// Dependencies of the probe.
    dependencies: Vec<DependencyReference>,
    /// Names of the checks; `None` if the probe has errors, so that they cause no further errors.
    checks: Option<Vec<String>>,
}

struct DependencyReference {
    /// Name of the probe.
    probe: String,
    /// Name of the check, if the dependency is a check.
    check: Option<String>,
    /// The name as written in the source.
    source_text: String,
    location: Location,
}

impl DependencyNode {
    pub(super) fn new(name: &str, depends_on: &[String], written: Option<&Node>, location: Location) -> Self {
        let items = match written.map(|node| &node.value) {
            Some(NodeValue::List(items)) => items.as_slice(),
            _ => &[],
        };
        let dependency = |name: &String| {
            let item = items.iter().find(|item| item.text() == Some(name));
            let source_text = item.and_then(Node::source_text).unwrap_or(name).to_owned();
            let (probe, check) = name.split_once('/').map_or((&**name, None), |(probe, check)| (probe, Some(check)));
            DependencyReference {
                probe: probe.to_owned(),
                check: check.map(str::to_owned),
                source_text,
                location: item.map_or(location, |item| item.location),
            }
        };
        Self { name: name.to_owned(), dependencies: depends_on.iter().map(dependency).collect(), checks: None }
    }

    /// Adds the names of the checks of a probe without errors.
    pub(super) fn set_checks(&mut self, checks: impl Iterator<Item = String>) {
        self.checks = Some(checks.collect());
    }
}

/// Reports unknown probes and checks, and cycles.
pub(super) fn check_dependencies(probes: &[DependencyNode], problems: &mut Diagnostics) {
    let index: HashMap<&str, usize> = probes.iter().enumerate().map(|(at, probe)| (probe.name.as_str(), at)).collect();
    for dependency in probes.iter().flat_map(|probe| &probe.dependencies) {
        let Some(probe) = index.get(dependency.probe.as_str()).and_then(|at| probes.get(*at)) else {
            let names = probes.iter().map(|probe| probe.name.as_str()).filter(|name| !name.is_empty());
            problems.push_unknown(dependency.location, "probe", &dependency.source_text, names);
            continue;
        };
        if let (Some(check), Some(checks)) = (&dependency.check, &probe.checks)
            && !checks.contains(check)
        {
            let names: Vec<_> = checks.iter().map(|check| format!("{}/{check}", probe.name)).collect();
            let valid = names.iter().map(String::as_str);
            problems.push_unknown(dependency.location, "check", &dependency.source_text, valid);
        }
    }
    let edges: Vec<Vec<usize>> = probes
        .iter()
        .map(|probe| {
            probe.dependencies.iter().filter_map(|dependency| index.get(dependency.probe.as_str()).copied()).collect()
        })
        .collect();
    for cycle in find_cycles(&edges) {
        let of = |at: &usize| probes.get(*at);
        let names: Vec<&str> =
            cycle.iter().chain(cycle.first()).filter_map(of).map(|probe| probe.name.as_str()).collect();
        let location = cycle.first().and_then(of).and_then(|probe| {
            let next = names.get(1)?;
            probe.dependencies.iter().find(|dependency| dependency.probe == *next).map(|dependency| dependency.location)
        });
        let message = format!("probes depend on each other in a cycle: {}", names.join(" -> "));
        problems.push(location.unwrap_or_default(), message, None);
    }
}

/// Returns one cycle for each back edge of a depth-first search. It is iterative, because a chain may have ten thousand
/// probes.
fn find_cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        OnTheWay,
        Done,
    }
    let mut seen = vec![Seen::Never; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if seen.get(start) != Some(&Seen::Never) {
            continue;
        }
        // Each step of the path: a probe, and the index of its next dependency.
        let mut way = vec![(start, 0)];
        while let Some((at, next)) = way.last_mut() {
            let at = *at;
            if let Some(state) = seen.get_mut(at) {
                *state = Seen::OnTheWay;
            }
            let dependency = edges.get(at).and_then(|dependencies| dependencies.get(*next)).copied();
            *next += 1;
            match dependency.map(|dependency| (dependency, seen.get(dependency).copied())) {
                Some((dependency, Some(Seen::Never))) => way.push((dependency, 0)),
                Some((dependency, Some(Seen::OnTheWay))) => {
                    found.push(way.iter().map(|(at, _)| *at).skip_while(|at| *at != dependency).collect());
                }
                Some(_) => {}
                None => {
                    if let Some(state) = seen.get_mut(at) {
                        *state = Seen::Done;
                    }
                    way.pop();
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_long_chains_and_diamonds_are_none() {
        assert_eq!(find_cycles(&[vec![1], vec![2], vec![1]]), vec![vec![1, 2]]);
        assert_eq!(find_cycles(&[vec![0]]), vec![vec![0]]);
        assert_eq!(find_cycles(&[vec![1, 2], vec![3], vec![3], vec![]]), Vec::<Vec<usize>>::new());
        let chain: Vec<Vec<usize>> = (1..=100_000).map(|next| vec![next]).chain([vec![]]).collect();
        assert!(find_cycles(&chain).is_empty());
    }
}
