//! Finds the part of the effective configuration that concerns one check.

/// Returns the entry of a probe with one of its checks, without the indentation of the list; `None` if the configuration
/// contains no such check.
pub(super) fn check_section(text: &str, probe: &str, check: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| *line != "probes:").skip(1).peekable();
    let margin = indentation(lines.peek()?);
    let mut entry: Vec<&str> = Vec::new();
    for line in lines {
        if is_item(line, margin) {
            if !entry.is_empty() {
                break;
            }
            if item_name(line) == Some(probe) {
                entry.push(line);
            }
        } else if !entry.is_empty() {
            entry.push(line);
        }
    }
    let is_checks = |line: &&str| line.trim() == "checks:" && indentation(line) == margin + 2;
    let checks = entry.iter().position(is_checks)?;
    let (head, list) = entry.split_at(checks + 1);
    let inner = indentation(list.first()?);
    let from = list.iter().position(|line| is_item(line, inner) && item_name(line) == Some(check))?;
    let rest = list.get(from..)?;
    // The list may be followed by further keys of the probe.
    let is_end = |line: &&str| indentation(line) < inner || is_item(line, inner);
    let length = rest.iter().skip(1).position(is_end).map_or(rest.len(), |at| at + 1);
    let after = list.iter().skip_while(|line| indentation(line) >= inner);
    let lines = head.iter().chain(rest.iter().take(length)).chain(after);
    Some(lines.map(|line| format!("{}\n", line.get(margin..).unwrap_or_default())).collect())
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether a line begins an item of the list with an indentation.
fn is_item(line: &str, margin: usize) -> bool {
    indentation(line) == margin && line.get(margin..).is_some_and(|rest| rest.starts_with("- "))
}

/// The value of `name` in the first line of an item. A comment may follow it.
fn item_name(line: &str) -> Option<&str> {
    let value = line.trim_start().strip_prefix("- name: ")?;
    let value = value.split_once(" #").map_or(value, |(value, _)| value);
    Some(value.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_a_probe_contains_one_of_its_checks() {
        for margin in ["", "  "] {
            let lines = [
                "- name: a",
                "  tcp:",
                "    address: a:1",
                "  checks:",
                "    - name: health",
                "      gate: true",
                "- name: \"1\"  # conf.d/b.yaml:3",
                "  tcp:",
                "    text: |-",
                "      - name: a",
                "  checks:",
                "    - name: health",
                "      gate: true",
                "    - name: latency",
                "      latency:",
                "        p95: 1s",
                "      gate: false",
                "    - name: other",
                "  enabled: true",
                "- name: c",
                "  checks: []",
            ];
            let body: String = lines.iter().map(|line| format!("{margin}{line}\n")).collect();
            let text = format!("service: x\nprobes:\n{body}");
            let found = check_section(&text, "1", "latency").unwrap();
            let expected = "- name: \"1\"  # conf.d/b.yaml:3\n  tcp:\n    text: |-\n      - name: a\n  checks:\n    - name: latency\n      \
                            latency:\n        p95: 1s\n      gate: false\n  enabled: true\n";
            assert_eq!(found, expected);
            assert_eq!(check_section(&text, "a", "latency"), None);
            assert_eq!(check_section(&text, "c", "health"), None);
            assert_eq!(check_section(&text, "gone", "health"), None);
        }
        assert_eq!(check_section("service: x\n", "a", "health"), None);
    }
}
