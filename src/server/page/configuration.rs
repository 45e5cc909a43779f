//! The effective configuration as a page: a table of contents, and the YAML with collapsed built-in values.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    navigation::{NavigationPage, count, moment},
    text_page::{HTML, PagePlace, render_text_page},
};

/// Query with which a browser receives the YAML.
pub(in crate::server) const YAML_QUERY: &str = "format=yaml";

/// Renders the configuration as media type and text.
pub(in crate::server) fn configuration_page(yaml: &str, now: Timestamp) -> (&'static str, String) {
    let sections = sections(yaml);
    let (globals, probes): (Vec<&ConfigurationSection<'_>>, Vec<&ConfigurationSection<'_>>) =
        sections.iter().partition(|section| !section.is_probe);
    let content = html! {
        h1 { "Effective configuration" }
        p {
            "All values of the running configuration with their sources, without secrets. " a href={ "?" (YAML_QUERY) } { "YAML" }
        }
        nav .contents aria-label="Contents" {
            @for (name, list) in [("Settings", &globals), ("Probes", &probes)] {
                @if !list.is_empty() {
                    p { b { (name) } }
                    ul { @for section in list { li { a href={ "#" (section.id) } { (section.name) } } } }
                }
            }
        }
        @for section in &sections {
            section aria-labelledby=(section.id) {
                h2 id=(section.id) { (section.name) }
                (yaml_lines(&section.lines))
            }
        }
        p .note { "As of " (moment(now)) "." }
    };
    let place = PagePlace { root: "", shown: NavigationPage::Configuration };
    (HTML, render_text_page("Effective configuration", "configuration", place, &content).into_string())
}

/// A top-level key, or a probe.
struct ConfigurationSection<'a> {
    id: String,
    name: &'a str,
    lines: Vec<&'a str>,
    is_probe: bool,
}

/// Splits the text at the top-level keys, and the list of probes at its items.
fn sections(yaml: &str) -> Vec<ConfigurationSection<'_>> {
    let mut sections: Vec<ConfigurationSection<'_>> = Vec::new();
    let mut is_in_probes = false;
    // The indentation of the list of probes; the lists of their checks are deeper.
    let mut margin = None;
    for line in yaml.lines() {
        let is_top = !line.starts_with([' ', '-', '#']) && !line.is_empty();
        if is_top {
            is_in_probes = line == "probes:";
            if is_in_probes {
                continue;
            }
            let name = line.split_once(':').map_or(line, |(name, _)| name);
            sections.push(ConfigurationSection { id: format!("key-{name}"), name, lines: Vec::new(), is_probe: false });
        } else if let Some(name) = line.trim_start_matches(' ').strip_prefix("- name: ").filter(|_| is_in_probes)
            && indentation(line) == *margin.get_or_insert(indentation(line))
        {
            let name = without_source(name).0.trim_matches(['"', '\'']);
            sections.push(ConfigurationSection {
                id: format!("probe-{name}"),
                name,
                lines: Vec::new(),
                is_probe: true,
            });
        }
        if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        }
    }
    sections
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Splits a line into the value and its source, which is a comment at the end of the line.
fn without_source(line: &str) -> (&str, Option<&str>) {
    line.rsplit_once("  # ").map_or((line, None), |(value, source)| (value, Some(source)))
}

/// Shortest run of lines with built-in values that is collapsed.
const MIN_COLLAPSED_LINES: usize = 2;

/// Lines of YAML. Adjacent built-in values are collapsed.
fn yaml_lines(lines: &[&str]) -> Markup {
    let is_built_in = |line: &&str| without_source(line).1 == Some("built in");
    html! {
        div .yaml {
            @for group in lines.chunk_by(|a, b| is_built_in(a) == is_built_in(b)) {
                @let collapses = group.len() >= MIN_COLLAPSED_LINES && group.first().is_some_and(is_built_in);
                @if collapses {
                    details { summary { (count(group.len(), "built-in value")) } (code(group)) }
                } @else { (code(group)) }
            }
        }
    }
}

fn code(lines: &[&str]) -> Markup {
    html! {
        pre {
            code {
                @for line in lines {
                    @let (value, source) = without_source(line);
                    (value) @if let Some(source) = source { span .source { "  # " (source) } } "\n"
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "service: a  # a.yaml:1\nserver:\n  listen: x  # built in\n  tls: y  # built in\nprobes:\n\
        - name: <b>  # a.yaml:2\n  tcp:\n    port: 1  # a.yaml:3\n  checks:\n    - name: health  # a.yaml:4\n\
        - name: two  # a.yaml:5\n  note: 'a  # b'  # a.yaml:6\n";

    #[test]
    fn keys_and_probes_are_sections_and_no_line_is_lost() {
        let sections = sections(YAML);
        let names: Vec<_> = sections.iter().map(|section| (section.name, section.is_probe)).collect();
        assert_eq!(names, [("service", false), ("server", false), ("<b>", true), ("two", true)]);
        let lines: usize = sections.iter().map(|section| section.lines.len()).sum();
        assert_eq!(lines, YAML.lines().count() - 1, "all lines but `probes:`");
        let (_, html) = configuration_page(YAML, Timestamp::UNIX_EPOCH);
        assert!(html.contains("&lt;b&gt;") && !html.contains("<b>  #"), "{html}");
        assert!(
            html.contains("2 built-in values") && html.contains("note: 'a  # b'<span class=\"source\">  # a.yaml:6"),
            "{html}"
        );
    }
}
