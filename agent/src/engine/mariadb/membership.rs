//! Which account has which role, and which of its roles are in force from its login on.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_proto::task::Role;
use mysql_async::{Error, prelude::Queryable};

use super::{grants::account, session::Session};

/// Of the whole server, every name as statements take it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memberships {
    has: Vec<Has>,
    /// By account.
    defaults: BTreeMap<String, Vec<String>>,
}

/// An account, or a role, has a role.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Has {
    member: String,
    role: String,
    /// It may give the role on, as who made a role may.
    admin: bool,
}

type Row = (String, String, String, String, String);

impl Memberships {
    /// None where the agent's account may not read the server's own tables.
    ///
    /// # Errors
    /// When the session is lost.
    pub async fn of(session: &mut Session) -> Result<Self, Error> {
        let (has, defaults) = if session.is_mariadb() {
            (
                "SELECT user, host, role, '', admin_option FROM mysql.roles_mapping",
                "SELECT user, host, default_role, '', '' FROM mysql.user WHERE default_role <> ''",
            )
        } else {
            (
                "SELECT to_user, to_host, from_user, from_host, with_admin_option FROM mysql.role_edges",
                "SELECT user, host, default_role_user, default_role_host, '' FROM mysql.default_roles",
            )
        };
        let mut all = Self::default();
        for (user, host, role, role_host, admin) in rows(session, has).await? {
            all.has.push(Has {
                member: account(&user, &host),
                role: account(&role, &role_host),
                admin: admin == "Y",
            });
        }
        for (user, host, role, role_host, _) in rows(session, defaults).await? {
            let of = all.defaults.entry(account(&user, &host)).or_default();
            of.push(account(&role, &role_host));
        }
        Ok(all)
    }

    /// Those who have a right, and those who have it through a role, each with its roles among them, and after them:
    /// the statement that makes an account may name its roles.
    #[must_use]
    pub fn complete(&self, grantees: Vec<Role>) -> Vec<Role> {
        let mut names: BTreeSet<String> = grantees.iter().map(|role| role.name.clone()).collect();
        loop {
            // Who made a role has it to give it on: that alone is no reason to bring him along.
            let through = self.has.iter().filter(|has| !has.admin);
            let more: Vec<_> = through
                .filter(|has| names.contains(&has.role) && !names.contains(&has.member))
                .map(|has| has.member.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            names.extend(more);
        }
        let roles = names.iter().map(|name| {
            let has = self.has.iter().filter(|has| has.member == *name);
            let among: BTreeSet<String> = has
                .map(|has| has.role.clone())
                .filter(|role| names.contains(role))
                .collect();
            let defaults = self.defaults.get(name).into_iter().flatten();
            Role {
                name: name.clone(),
                login: name.contains("'@'"),
                inherit: true,
                default_roles: defaults
                    .filter(|role| among.contains(*role))
                    .cloned()
                    .collect(),
                member_of: among.into_iter().collect(),
                ..Role::default()
            }
        });
        after_their_roles(roles.collect())
    }
}

/// Otherwise in the order that they have.
fn after_their_roles(mut rest: Vec<Role>) -> Vec<Role> {
    let mut all: Vec<Role> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let there: BTreeSet<String> = all.iter().map(|role| role.name.clone()).collect();
        let (next, later): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|role| role.member_of.iter().all(|of| there.contains(of)));
        if next.is_empty() {
            // In a circle, which no server allows: any order is as good.
            all.extend(later);
            break;
        }
        all.extend(next);
        rest = later;
    }
    all
}

/// Gives a role its members and an account its default roles, as statements without their end. `mariadb`: else MySQL.
#[must_use]
pub fn statements(role: &Role, mariadb: bool) -> Vec<String> {
    let name = &role.name;
    let mut all: Vec<String> = role
        .member_of
        .iter()
        .map(|of| format!("GRANT {of} TO {name}"))
        .collect();
    match (role.default_roles.as_slice(), mariadb) {
        ([], _) => {}
        ([first, ..], true) => all.push(format!("SET DEFAULT ROLE {first} FOR {name}")),
        (some, false) => all.push(format!("SET DEFAULT ROLE {} TO {name}", some.join(", "))),
    }
    all
}

async fn rows(session: &mut Session, sql: &str) -> Result<Vec<Row>, Error> {
    match session.conn.query(sql).await {
        Ok(rows) => Ok(rows),
        Err(Error::Server(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Role {
        Role {
            name: name.to_owned(),
            ..Role::default()
        }
    }

    fn has(member: &str, role: &str, admin: bool) -> Has {
        Has {
            member: member.to_owned(),
            role: role.to_owned(),
            admin,
        }
    }

    #[test]
    fn whoever_has_a_right_through_roles_comes_along_and_who_made_the_role_does_not() {
        let all = Memberships {
            has: vec![
                has("'team'", "'writers'", false),
                has("'ann'@'%'", "'team'", false),
                has("'root'@'localhost'", "'writers'", true),
                has("'app'@'%'", "'writers'", true),
                has("'ann'@'%'", "'backups'", false),
                has("'bob'@'%'", "'backups'", false),
            ],
            defaults: BTreeMap::from([
                ("'ann'@'%'".to_owned(), vec!["'team'".to_owned()]),
                ("'app'@'%'".to_owned(), vec!["'backups'".to_owned()]),
            ]),
        };
        let complete = all.complete(vec![role("'writers'"), role("'app'@'%'")]);
        let shown: Vec<_> = complete
            .iter()
            .map(|role| {
                (
                    role.name.as_str(),
                    role.member_of.join(" "),
                    role.default_roles.join(" "),
                )
            })
            .collect();
        let none = String::new;
        assert_eq!(
            shown,
            [
                ("'writers'", none(), none()),
                ("'app'@'%'", "'writers'".to_owned(), none()),
                ("'team'", "'writers'".to_owned(), none()),
                ("'ann'@'%'", "'team'".to_owned(), "'team'".to_owned()),
            ]
        );
    }

    #[test]
    fn each_server_has_its_own_words_for_default_roles() {
        let ann = Role {
            member_of: vec!["'a'".to_owned(), "'b'".to_owned()],
            default_roles: vec!["'a'".to_owned(), "'b'".to_owned()],
            ..role("'ann'@'%'")
        };
        let given = ["GRANT 'a' TO 'ann'@'%'", "GRANT 'b' TO 'ann'@'%'"];
        let mariadb = statements(&ann, true);
        assert_eq!(mariadb[..2], given);
        assert_eq!(mariadb[2..], ["SET DEFAULT ROLE 'a' FOR 'ann'@'%'"]);
        let mysql = statements(&ann, false);
        assert_eq!(mysql[2..], ["SET DEFAULT ROLE 'a', 'b' TO 'ann'@'%'"]);
        assert_eq!(statements(&role("'x'"), true), [""; 0]);
    }
}
