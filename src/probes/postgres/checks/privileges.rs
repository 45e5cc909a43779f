#![doc = include_str!("privileges.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        observation::{Observation, Timing},
        text::bounded_name,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity, words},
    },
    probes::postgres::facts::{
        PostgresFacts, PostgresRequest, Section,
        roles::{LoginRole, LoginRoles, MAX_ROLES},
    },
};

/// Settings of `privileges`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresPrivileges {
    /// Names of the judged roles, such as the role of the application. Default: the role of the probe.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Privileges that the roles may have although they are dangerous.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<DangerousPrivilege>,
}

words! {
    /// A privilege beyond the data of an application.
    DangerousPrivilege {
        /// `SUPERUSER`, or membership in a superuser.
        Superuser = "superuser",
        /// `CREATEROLE`.
        CreateRole = "create_role",
        /// `CREATEDB`.
        CreateDb = "create_db",
        /// `REPLICATION`: the role can copy the whole cluster.
        Replication = "replication",
        /// `BYPASSRLS`.
        BypassRls = "bypass_rls",
        /// Membership in `pg_execute_server_program`.
        ServerPrograms = "server_programs",
        /// Membership in `pg_read_server_files` or `pg_write_server_files`.
        ServerFiles = "server_files",
        /// Membership in `pg_write_all_data`, `pg_maintain`, `pg_create_subscription` or `pg_signal_backend`.
        PredefinedRoles = "predefined_roles",
        /// `CREATE` in the schema `public`.
        CreateInPublic = "create_in_public",
        /// Ownership of the database.
        DatabaseOwner = "database_owner",
    }
}

impl DangerousPrivilege {
    /// Whether a role has the privilege.
    fn is_held_by(self, role: &LoginRole) -> bool {
        let is_member = |names: &[&str]| role.member_of.iter().any(|name| names.contains(&&**name));
        match self {
            Self::Superuser => role.superuser || role.member_of.iter().any(|name| !name.starts_with("pg_")),
            Self::CreateRole => role.create_role,
            Self::CreateDb => role.create_db,
            Self::Replication => role.replication,
            Self::BypassRls => role.bypass_rls,
            Self::ServerPrograms => is_member(&["pg_execute_server_program"]),
            Self::ServerFiles => is_member(&["pg_read_server_files", "pg_write_server_files"]),
            Self::PredefinedRoles => {
                is_member(&["pg_write_all_data", "pg_maintain", "pg_create_subscription", "pg_signal_backend"])
            }
            // A superuser can do everything; its other privileges say nothing more.
            Self::CreateInPublic => role.creates_in_public && !role.superuser,
            Self::DatabaseOwner => role.owns_database,
        }
    }
}

impl CheckKind<PostgresFacts> for PostgresPrivileges {
    const NAME: &'static str = "privileges";
    const CATEGORY: Category = Category::Security;
    const SEVERITY: Severity = Severity::Warning;
    const DOC: &'static str = include_str!("privileges.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        match self.roles.iter().any(String::is_empty) {
            true => Err(Invalid::at("roles", "a role has a name")),
            false => Ok(()),
        }
    }
}

impl Check<PostgresFacts> for PostgresPrivileges {
    fn judge(&mut self, seen: &Observation<PostgresFacts>) -> Verdict {
        PostgresFacts::judge(seen, |facts: &LoginRoles| self.verdict(facts))
    }

    fn requested_facts(&self) -> Vec<PostgresRequest> {
        vec![LoginRoles::REQUEST]
    }
}

impl PostgresPrivileges {
    fn verdict(&self, facts: &LoginRoles) -> Verdict {
        let names = if self.roles.is_empty() { std::slice::from_ref(&facts.own) } else { &*self.roles };
        let (mut excessive, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match facts.roles.iter().find(|role| role.name == *name) {
                Some(role) => excessive.extend(self.excess(role)),
                None => missing.push(bounded_name(&**name)),
            }
        }
        if !excessive.is_empty() {
            let text = format!("{}: revoke it, or list it under `allowed`", excessive.join("; "));
            return Verdict::new(Outcome::Fail(Reason::Permission), text);
        }
        if !missing.is_empty() {
            let (names, more) = (missing.join(", "), if facts.is_cut { " among the first" } else { "" });
            let limit = if facts.is_cut { format!(" {MAX_ROLES}") } else { String::new() };
            let text = format!("the server has no role with LOGIN named {names}{more}{limit}: correct `roles`");
            return Verdict::new(Outcome::Unknown(Reason::NotFound), text);
        }
        let names: Vec<_> = names.iter().map(|name| bounded_name(&**name)).collect();
        Verdict::new(Outcome::Pass, format!("no dangerous privilege of {}", names.join(", ")))
    }

    /// Describes the dangerous privileges of a role that are not allowed.
    fn excess(&self, role: &LoginRole) -> Option<String> {
        let held = DangerousPrivilege::ALL.iter().filter(|one| one.is_held_by(role) && !self.allowed.contains(one));
        let held: Vec<_> = held.map(|privilege| privilege.as_str()).collect();
        (!held.is_empty()).then(|| format!("role {} has {}", bounded_name(&*role.name), held.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, change: impl FnOnce(&mut LoginRole)) -> LoginRole {
        let mut role = LoginRole {
            name: name.into(),
            superuser: false,
            create_role: false,
            create_db: false,
            replication: false,
            bypass_rls: false,
            member_of: Vec::new(),
            creates_in_public: false,
            owns_database: false,
        };
        change(&mut role);
        role
    }

    fn verdict(settings: serde_json::Value, roles: Vec<LoginRole>) -> Verdict {
        let check: PostgresPrivileges = serde_json::from_value(settings).unwrap();
        check.verdict(&LoginRoles { own: "monitor".into(), roles, is_cut: false })
    }

    #[test]
    fn each_dangerous_privilege_is_found_and_can_be_allowed() {
        let member = |name: &str| role("monitor", |role| role.member_of.push(name.into()));
        for (role, word) in [
            (role("monitor", |role| role.superuser = true), "superuser"),
            (member("admin"), "superuser"),
            (role("monitor", |role| role.create_role = true), "create_role"),
            (role("monitor", |role| role.create_db = true), "create_db"),
            (role("monitor", |role| role.replication = true), "replication"),
            (role("monitor", |role| role.bypass_rls = true), "bypass_rls"),
            (member("pg_execute_server_program"), "server_programs"),
            (member("pg_read_server_files"), "server_files"),
            (member("pg_write_all_data"), "predefined_roles"),
            (role("monitor", |role| role.creates_in_public = true), "create_in_public"),
            (role("monitor", |role| role.owns_database = true), "database_owner"),
        ] {
            let found = verdict(json!({}), vec![role.clone()]);
            assert_eq!(found.outcome, Outcome::Fail(Reason::Permission), "{word}");
            assert!(found.summary.starts_with(&format!("role monitor has {word}: ")), "{}", found.summary);
            assert_eq!(verdict(json!({"allowed": [word]}), vec![role]).outcome, Outcome::Pass, "{word}");
        }
    }

    #[test]
    fn named_roles_are_judged_and_a_missing_one_is_unknown() {
        let roles = || vec![role("app", |role| role.create_db = true), role("monitor", |_| ()), role("web", |_| ())];
        assert_eq!(verdict(json!({}), roles()).summary, "no dangerous privilege of monitor");
        assert_eq!(verdict(json!({"roles": ["web", "monitor"]}), roles()).outcome, Outcome::Pass);
        assert_eq!(verdict(json!({"roles": ["web", "app"]}), roles()).outcome, Outcome::Fail(Reason::Permission));
        let missing = verdict(json!({"roles": ["web", "ap"]}), roles());
        assert_eq!(missing.outcome, Outcome::Unknown(Reason::NotFound));
        assert!(missing.summary.contains("no role with LOGIN named ap:"), "{}", missing.summary);
        assert!(serde_json::from_value::<PostgresPrivileges>(json!({"allowed": ["root"]})).is_err());
    }
}
