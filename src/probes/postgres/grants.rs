//! SQL that creates a role for monitoring with exactly the privileges of the requested sections.

use std::{collections::BTreeMap, fmt::Write};

use crate::model::privilege::Privilege;

/// Privileges that the checks of one `postgres` probe need.
#[derive(Debug, Clone)]
pub struct Need<'a> {
    /// Name of the probe, for the comments.
    pub probe: &'a str,
    /// Name of each check, for the comments, with the privileges of its requested sections.
    pub checks: Vec<(&'a str, Vec<Privilege>)>,
}

/// Generates SQL for psql. An administrator may execute it repeatedly. It sets no password: a comment describes how to
/// set one without writing it to a file.
#[must_use]
pub fn grants(role: &str, needs: &[Need<'_>]) -> String {
    let (identifier, literal) = (quote_sql(role, '"'), quote_sql(role, '\''));
    // One connection for each probe, and a reserve for connections that outlive a restart or a cancelled query.
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
    let mut privileges: BTreeMap<Privilege, Vec<String>> = BTreeMap::new();
    for need in needs {
        for (check, privilege) in need.checks.iter().flat_map(|(check, all)| all.iter().map(move |one| (check, one))) {
            privileges.entry(*privilege).or_default().push(format!("{}/{check}", need.probe));
        }
    }
    let mut purposes: BTreeMap<&str, String> = BTreeMap::new();
    for (Privilege { name, purpose }, checks) in privileges {
        let _ = writeln!(purposes.entry(name).or_default(), "-- To {purpose}, for {}", checks.join(", "));
    }
    for (privilege, comments) in purposes {
        let _ = write!(sql, "\n{comments}GRANT {privilege} TO {identifier};\n");
    }
    sql
}

fn quote_sql(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_privileges_of_the_checks_are_granted() {
        const SESSIONS: Privilege = Privilege { name: "pg_read_all_stats", purpose: "see sessions" };
        const LAG: Privilege = Privilege { name: "pg_read_all_stats", purpose: "see standbys" };
        const FILES: Privilege = Privilege { name: "pg_monitor", purpose: "list WAL files" };
        let health = Need { probe: "a", checks: vec![("health", vec![])] };
        let more =
            Need { probe: "b", checks: vec![("health", vec![]), ("x", vec![SESSIONS]), ("y", vec![LAG, FILES])] };
        let other = Need { probe: "c", checks: vec![("z", vec![SESSIONS])] };
        assert!(!grants("monitor", std::slice::from_ref(&health)).contains("GRANT"));
        let sql = grants("monitor", &[health, more, other]);
        for part in [
            "-- To see sessions, for b/x, c/z\n-- To see standbys, for b/y\n\
             GRANT pg_read_all_stats TO \"monitor\";\n",
            "\n-- To list WAL files, for b/y\nGRANT pg_monitor TO \"monitor\";\n",
        ] {
            assert!(sql.contains(part), "{sql}");
        }
        assert_eq!(sql.matches("GRANT").count(), 2, "each privilege is granted once");
        assert!(sql.contains("CONNECTION LIMIT 5;"), "{sql}");
        assert!(grants("o'\"x", &[]).contains("CREATE ROLE \"o'\"\"x\";"));
        assert!(grants("o'\"x", &[]).contains("rolname = 'o''\"x'"));
    }
}
