//! Parts of Markdown documents: fenced blocks, prose, headings, tables and links.

use std::collections::BTreeSet;

/// A fenced block with the word after its opening fence.
pub(crate) struct FencedBlock {
    pub(crate) language: String,
    pub(crate) code: String,
}

/// All fenced blocks of a document, without their indentation.
pub(crate) fn fenced_blocks(text: &str) -> Vec<FencedBlock> {
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut is_closed = false;
        let code = lines.by_ref().take_while(|line| {
            is_closed = line.trim_start() == "```";
            !is_closed
        });
        let code = code.map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n");
        assert!(is_closed, "a block of code has no end:\n{code}");
        found.push(FencedBlock { language: language.to_owned(), code });
    }
    found
}

/// The code of all fenced blocks in a language.
pub(crate) fn code_in(text: &str, language: &str) -> Vec<String> {
    let blocks = fenced_blocks(text).into_iter().filter(|block| block.language == language);
    blocks.map(|block| block.code).collect()
}

/// The lines outside of fenced blocks.
pub(crate) fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let keep = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(keep).collect()
}

/// The headings of a document with their number signs.
pub(crate) fn headings(text: &str) -> Vec<&str> {
    prose(text).into_iter().filter(|line| line.starts_with('#')).collect()
}

/// The anchors of the headings, as GitHub derives them.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let slug = |line: &str| line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect::<String>();
    headings(text).into_iter().map(|line| slug(line).replace(' ', "-")).collect()
}

/// Rows of the table whose head begins with the given text, with trimmed cells.
pub(crate) fn table_rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let rows = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The targets of all links.
pub(crate) fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect()
}

#[test]
fn parts_of_a_document_are_found() {
    let text =
        "# A `b` c\n\n| x | y |\n|---|---|\n| 1 | [l](z.md#q) |\n\n1. do\n   ```sh\n   # no heading\n     x\n   ```\n";
    assert_eq!(headings(text), ["# A `b` c"]);
    assert_eq!(anchors(text), ["a-b-c".to_owned()].into());
    assert_eq!(table_rows(text, "| x |"), [["1", "[l](z.md#q)"]]);
    assert_eq!(links(text), ["z.md#q"]);
    assert_eq!(code_in(text, "sh"), ["# no heading\n  x"]);
    assert!(code_in(text, "yaml").is_empty());
}
