//! The SQL that makes a role for monitoring with the rights that the configured checks need, and no others.

use std::fmt::Write;

/// One `postgres` probe, and the kinds of its checks.
#[derive(Debug, Clone)]
pub struct Need<'a> {
    /// The probe's name, for the comments.
    pub probe: &'a str,
    /// The kinds of its checks.
    pub checks: Vec<&'a str>,
}

/// SQL for psql, to be run by an administrator; it may be run again. The role has no password after it: how to give
/// it one without writing it down is in a comment.
#[must_use]
pub fn grants(role: &str, needs: &[Need<'_>]) -> String {
    let (identifier, literal) = (quoted(role, '"'), quoted(role, '\''));
    // One connection for each probe, and room for those that a restart or a cancelled query leaves for a moment.
    let connections = (needs.len() + 2).max(5);
    let mut sql = format!(
        "-- The role that readiness-exporter logs in as. Run it as an administrator: psql -f FILE\n\
         -- Then give it a password, which psql asks for: \\password {identifier}\n\
         DO $$ BEGIN\n  \
           IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal}) THEN\n    \
             CREATE ROLE {identifier};\n  \
           END IF;\n\
         END $$;\n\
         ALTER ROLE {identifier} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT \
         CONNECTION LIMIT {connections};\n\
         ALTER ROLE {identifier} SET default_transaction_read_only = on;\n"
    );
    let pools = needs.iter().filter(|need| need.checks.contains(&"pool")).map(|need| need.probe).collect::<Vec<_>>();
    if !pools.is_empty() {
        // Writing to a string can't fail.
        let _ = write!(
            sql,
            "\n-- To see the sessions of other roles, for {}\nGRANT pg_read_all_stats TO {identifier};\n",
            pools.iter().map(|probe| format!("{probe}/pool")).collect::<Vec<_>>().join(", ")
        );
    }
    sql
}

fn quoted(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_checks_need_is_granted() {
        let health = Need { probe: "a", checks: vec!["health"] };
        let pool = Need { probe: "b", checks: vec!["health", "pool"] };
        assert!(!grants("monitor", std::slice::from_ref(&health)).contains("GRANT"));
        let sql = grants("monitor", &[health, pool]);
        assert!(sql.contains("for b/pool\nGRANT pg_read_all_stats TO \"monitor\";"), "{sql}");
        assert!(sql.contains("CONNECTION LIMIT 5;"), "{sql}");
        assert!(grants("o'\"x", &[]).contains("CREATE ROLE \"o'\"\"x\";"));
        assert!(grants("o'\"x", &[]).contains("rolname = 'o''\"x'"));
    }
}
