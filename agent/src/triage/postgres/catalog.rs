//! Rows of `pg_class` and `pg_database`, and the catalogs that are known by their number alone.

use crate::triage::bytes::{name_at, u8_at, u32_at};

/// The tablespace of what all databases share.
pub const GLOBAL: u32 = 1664;
/// The one that lies in `base`.
pub const DEFAULT: u32 = 1663;
/// Numbers below are the server's own.
const FIRST_USER: u32 = 16_384;
/// A database whose removal was interrupted.
const HALF_REMOVED: u32 = u32::MAX - 1;

pub const PG_CLASS: u32 = 1259;
pub const PG_DATABASE: u32 = 1262;

/// What a relation is, as far as its loss matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Index,
    /// Tables, what is stored beside them, materialised views.
    Table,
    Sequence,
}

/// A relation with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub oid: u32,
    pub name: String,
    pub kind: Kind,
    /// 0: [`super::filenode_map`] tells.
    pub file: u32,
    /// 0: that of its database.
    pub tablespace: u32,
    /// When it was counted last; at least one means that the file was not empty.
    pub pages: u32,
}

/// A database that can be connected to, or once could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    pub oid: u32,
    pub name: String,
    pub tablespace: u32,
}

impl Relation {
    /// From the fields of a row of `pg_class`; none: it has no file, or one that only a session needs.
    #[must_use]
    pub fn read(row: &[u8], major: u32) -> Option<Self> {
        // Version 18 counts frozen pages too.
        let shift = if major >= 18 { 4 } else { 0 };
        let kind = match u8_at(row, 115 + shift)? {
            b'i' => Kind::Index,
            b'r' | b't' | b'm' => Kind::Table,
            b'S' => Kind::Sequence,
            _ => return None,
        };
        // 't': of one session; it goes with it, and nobody misses it.
        if u8_at(row, 114 + shift)? == b't' {
            return None;
        }
        Some(Self {
            oid: u32_at(row, 0)?,
            name: name_at(row, 4, 64)?,
            kind,
            file: u32_at(row, 88)?,
            tablespace: u32_at(row, 92)?,
            pages: u32_at(row, 96)?,
        })
    }

    /// Whether it is of the server itself.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.oid < FIRST_USER
    }
}

impl Database {
    /// From the fields of a row of `pg_database`; none: its removal was begun.
    #[must_use]
    pub fn read(row: &[u8], major: u32) -> Option<Self> {
        if major >= 15 && u32_at(row, 80)? == HALF_REMOVED {
            return None;
        }
        Some(Self {
            oid: u32_at(row, 0)?,
            name: name_at(row, 4, 64)?,
            tablespace: if major >= 15 {
                u32_at(row, 92)?
            } else {
                DEFAULT
            },
        })
    }
}

/// Name and kind of a catalog that the map of files may name.
#[must_use]
pub fn well_known(oid: u32) -> Option<(&'static str, Kind)> {
    let found = WELL_KNOWN.binary_search_by_key(&oid, |(number, ..)| *number);
    let (_, name, kind) = WELL_KNOWN.get(found.ok()?)?;
    Some((name, *kind))
}

use Kind::{Index, Table};

/// Of PostgreSQL 15 to 18: those that the maps of files hold.
const WELL_KNOWN: [(u32, &str, Kind); 66] = [
    (1213, "pg_tablespace", Table),
    (1214, "pg_shdepend", Table),
    (1232, "pg_shdepend_depender_index", Index),
    (1233, "pg_shdepend_reference_index", Index),
    (1247, "pg_type", Table),
    (1249, "pg_attribute", Table),
    (1255, "pg_proc", Table),
    (1259, "pg_class", Table),
    (1260, "pg_authid", Table),
    (1261, "pg_auth_members", Table),
    (1262, "pg_database", Table),
    (2396, "pg_shdescription", Table),
    (2397, "pg_shdescription_o_c_index", Index),
    (2658, "pg_attribute_relid_attnam_index", Index),
    (2659, "pg_attribute_relid_attnum_index", Index),
    (2662, "pg_class_oid_index", Index),
    (2663, "pg_class_relname_nsp_index", Index),
    (2671, "pg_database_datname_index", Index),
    (2672, "pg_database_oid_index", Index),
    (2676, "pg_authid_rolname_index", Index),
    (2677, "pg_authid_oid_index", Index),
    (2690, "pg_proc_oid_index", Index),
    (2691, "pg_proc_proname_args_nsp_index", Index),
    (2694, "pg_auth_members_role_member_index", Index),
    (2695, "pg_auth_members_member_role_index", Index),
    (2697, "pg_tablespace_oid_index", Index),
    (2698, "pg_tablespace_spcname_index", Index),
    (2703, "pg_type_oid_index", Index),
    (2704, "pg_type_typname_nsp_index", Index),
    (2836, "pg_toast_1255", Table),
    (2837, "pg_toast_1255_index", Index),
    (2846, "pg_toast_2396", Table),
    (2847, "pg_toast_2396_index", Index),
    (2964, "pg_db_role_setting", Table),
    (2965, "pg_db_role_setting_databaseid_rol_index", Index),
    (2966, "pg_toast_2964", Table),
    (2967, "pg_toast_2964_index", Index),
    (3455, "pg_class_tblspc_relfilenode_index", Index),
    (3592, "pg_shseclabel", Table),
    (3593, "pg_shseclabel_object_index", Index),
    (4060, "pg_toast_3592", Table),
    (4061, "pg_toast_3592_index", Index),
    (4171, "pg_toast_1247", Table),
    (4172, "pg_toast_1247_index", Index),
    (4175, "pg_toast_1260", Table),
    (4176, "pg_toast_1260_index", Index),
    (4177, "pg_toast_1262", Table),
    (4178, "pg_toast_1262_index", Index),
    (4181, "pg_toast_6000", Table),
    (4182, "pg_toast_6000_index", Index),
    (4183, "pg_toast_6100", Table),
    (4184, "pg_toast_6100_index", Index),
    (4185, "pg_toast_1213", Table),
    (4186, "pg_toast_1213_index", Index),
    (6000, "pg_replication_origin", Table),
    (6001, "pg_replication_origin_roiident_index", Index),
    (6002, "pg_replication_origin_roname_index", Index),
    (6100, "pg_subscription", Table),
    (6114, "pg_subscription_oid_index", Index),
    (6115, "pg_subscription_subname_index", Index),
    (6243, "pg_parameter_acl", Table),
    (6244, "pg_toast_6243", Table),
    (6245, "pg_toast_6243_index", Index),
    (6246, "pg_parameter_acl_parname_index", Index),
    (6247, "pg_parameter_acl_oid_index", Index),
    (6302, "pg_auth_members_grantor_index", Index),
];

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fields of a row of `pg_class`.
    pub fn class_row(oid: u32, name: &str, kind: u8, file: u32, major: u32) -> Vec<u8> {
        let mut row = vec![0; 150];
        row[..4].copy_from_slice(&oid.to_le_bytes());
        row[4..4 + name.len()].copy_from_slice(name.as_bytes());
        row[88..92].copy_from_slice(&file.to_le_bytes());
        let shift = if major >= 18 { 4 } else { 0 };
        row[114 + shift] = b'p';
        row[115 + shift] = kind;
        row
    }

    #[test]
    fn a_row_is_read_in_every_version() {
        for major in [15, 17, 18] {
            let row = class_row(16_390, "users_pkey", b'i', 16_395, major);
            let relation = Relation::read(&row, major).unwrap();
            assert_eq!(relation.name, "users_pkey");
            assert_eq!((relation.kind, relation.file), (Kind::Index, 16_395));
            assert!(!relation.is_system());
            let view = class_row(16_391, "v", b'v', 0, major);
            assert_eq!(Relation::read(&view, major), None);
            assert_eq!(Relation::read(&row[..110], major), None);
        }
    }

    #[test]
    fn what_only_a_session_needs_is_left_out() {
        let mut row = class_row(16_390, "t", b'r', 16_395, 17);
        row[114] = b't';
        assert_eq!(Relation::read(&row, 17), None);
    }

    #[test]
    fn a_database_that_was_half_removed_is_none() {
        let mut row = vec![0; 120];
        row[..4].copy_from_slice(&5u32.to_le_bytes());
        row[4..12].copy_from_slice(b"postgres");
        row[92..96].copy_from_slice(&1663u32.to_le_bytes());
        let database = Database::read(&row, 15).unwrap();
        assert_eq!((database.oid, database.tablespace), (5, DEFAULT));
        assert_eq!(database.name, "postgres");
        row[80..84].copy_from_slice(&(-2i32).to_le_bytes());
        assert_eq!(Database::read(&row, 15), None);
    }

    #[test]
    fn the_table_is_in_order_and_knows_the_two_that_matter_most() {
        assert!(WELL_KNOWN.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(well_known(2671), Some(("pg_database_datname_index", Index)));
        assert_eq!(well_known(PG_DATABASE), Some(("pg_database", Table)));
        assert_eq!(well_known(16_384), None);
    }

    proptest! {
        #[test]
        fn no_row_breaks_it(row in proptest::collection::vec(any::<u8>(), 0..160), major in 13u32..20) {
            let _ = Relation::read(&row, major);
            let _ = Database::read(&row, major);
        }
    }
}
