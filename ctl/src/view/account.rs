//! Operators: who may do what.

use holdfast_chassis::identity::Role;
use serde::{Serialize, Serializer};

use super::Time;
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorAccount {
    pub name: String,
    #[serde(serialize_with = "role_word")]
    pub role: Role,
    pub certificate_expires_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorList {
    pub operators: Vec<OperatorAccount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invitation {
    pub name: String,
    pub command: String,
    pub expires_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedOperator {
    pub name: String,
    pub revoked_certificates: u32,
}

impl View for OperatorList {
    fn text(&self, page: &Page) -> String {
        let mut grid = Grid::new(page, &["OPERATOR", "ROLE", "CERTIFICATE"], "no operators");
        for operator in &self.operators {
            let certificate = match operator.certificate_expires_at {
                Some(at) if at <= page.now => toned(
                    Tone::Bad,
                    format!("expired {}", units::ago(page.now, Some(at))),
                ),
                Some(at) => plain(format!("expires {}", units::ago(page.now, Some(at)))),
                None => toned(Tone::Dim, "not logged in yet"),
            };
            grid.row(vec![
                toned(Tone::Strong, &operator.name),
                plain(word(operator.role)),
                certificate,
            ]);
        }
        grid.render()
    }
}

impl View for Invitation {
    fn text(&self, _: &Page) -> String {
        format!("{}\n", self.command)
    }
}

impl View for RemovedOperator {
    fn text(&self, _: &Page) -> String {
        if self.revoked_certificates == 0 {
            return format!(
                "operator {} had not logged in; the token is void now\n",
                self.name
            );
        }
        format!(
            "operator {} is removed: {} revoked\n",
            self.name,
            units::plural(self.revoked_certificates.into(), "certificate")
        )
    }
}

/// "viewer", "operator", "admin".
#[must_use]
pub fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn role_word<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*role))
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_tells_roles_and_expiry() {
        assert_eq!(
            samples::operator_list().text(&page()),
            "OPERATOR  ROLE      CERTIFICATE\n\
             alice     admin     expires in 29 d\n\
             bob       viewer    expired 1 h ago\n\
             carol     operator  not logged in yet\n"
        );
    }
}
