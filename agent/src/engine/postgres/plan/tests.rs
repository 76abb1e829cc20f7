use super::*;
use crate::engine::postgres::inventory::{ColumnFacts, TypeFacts};

const INT4: u32 = 23;
const INT4_ARRAY: u32 = 1007;
const REGCLASS: u32 = 2205;
const MOOD: u32 = 20_001;
const MOODS: u32 = 20_002;
const POINT3: u32 = 20_003;
const VECTOR: u32 = 20_004;
const EMAIL: u32 = 20_005;

fn types() -> BTreeMap<u32, TypeFacts> {
    let base = |kind| TypeFacts {
        kind,
        has_binary: true,
        ..TypeFacts::default()
    };
    BTreeMap::from([
        (INT4, base('b')),
        (REGCLASS, base('b')),
        (MOOD, base('e')),
        (POINT3, base('c')),
        (
            INT4_ARRAY,
            TypeFacts {
                is_array: true,
                made_of: INT4,
                ..base('b')
            },
        ),
        (
            MOODS,
            TypeFacts {
                is_array: true,
                made_of: MOOD,
                ..base('b')
            },
        ),
        (
            EMAIL,
            TypeFacts {
                made_of: INT4,
                ..base('d')
            },
        ),
        (
            VECTOR,
            TypeFacts {
                extension: Some(("vector".to_owned(), "0.8.0".to_owned())),
                ..base('b')
            },
        ),
    ])
}

fn table(oid: u32, name: &str) -> RelationFacts {
    RelationFacts {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: 'r',
        heap_bytes: 8192,
        block_bytes: 8192,
        columns: vec![ColumnFacts {
            name: "id".to_owned(),
            type_oid: INT4,
        }],
        ..RelationFacts::default()
    }
}

fn inventory(relations: Vec<RelationFacts>) -> Inventory {
    Inventory {
        relations,
        types: types(),
        ..Inventory::default()
    }
}

fn travelling_names(plan: &Plan) -> Vec<&str> {
    let mut names: Vec<_> = plan
        .relations
        .iter()
        .map(|r| r.plan.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

fn form_of(type_oid: u32, about: &Circumstances) -> CopyFormat {
    let mut only = table(1, "t");
    only.columns[0].type_oid = type_oid;
    make(&inventory(vec![only]), &Selection::default(), about).relations[0]
        .plan
        .format
}

#[test]
fn binary_only_where_bytes_mean_the_same() {
    let mut about = Circumstances {
        source_version_num: 150_020,
        target_version_num: 170_010,
        target_extensions: vec![Extension {
            name: "vector".to_owned(),
            versions: vec!["0.8.0".to_owned()],
        }],
        cutting: Cutting::for_speed(2),
    };
    for oid in [INT4, INT4_ARRAY, MOOD, EMAIL] {
        assert_eq!(form_of(oid, &about), CopyFormat::Binary, "{oid}");
    }
    for oid in [REGCLASS, MOODS, POINT3, VECTOR, 99_999] {
        assert_eq!(form_of(oid, &about), CopyFormat::Text, "{oid}");
    }
    about.target_version_num = 150_020;
    assert_eq!(form_of(VECTOR, &about), CopyFormat::Binary);
    about.target_extensions[0].versions = vec!["0.9.0".to_owned()];
    assert_eq!(form_of(VECTOR, &about), CopyFormat::Text);
}

#[test]
fn what_reads_a_table_left_out_is_left_out_with_it() {
    let mut view = table(2, "order_totals");
    view.kind = 'v';
    let mut sequence = table(3, "orders_id_seq");
    sequence.kind = 'S';
    sequence.owned_by = Some(1);
    let mut all = inventory(vec![table(1, "orders"), view, sequence, table(4, "users")]);
    all.reads = vec![(2, 1)];
    let selection = Selection {
        exclude_tables: vec!["orders".to_owned(), "nothing*".to_owned()],
        ..Selection::default()
    };
    let plan = make(&all, &selection, &Circumstances::default());
    assert_eq!(travelling_names(&plan), ["users"]);
    assert_eq!(plan.left_out.len(), 3);
    assert!(plan.sequences.is_empty());
    assert_eq!(
        Chosen::of(&all, &selection).unmatched_patterns,
        ["nothing*"]
    );
}

#[test]
fn picking_a_table_leaves_the_others_out() {
    let mut all = inventory(vec![table(1, "orders"), table(4, "users")]);
    all.large_object_bytes = 1;
    let selection = Selection {
        tables: vec!["public.us*".to_owned()],
        ..Selection::default()
    };
    let plan = make(&all, &selection, &Circumstances::default());
    assert_eq!(travelling_names(&plan), ["users"]);
    assert_eq!(plan.left_out, [("public".to_owned(), "orders".to_owned())]);
    assert!(!plan.with_large_objects);
}

#[test]
fn partitions_follow_what_they_are_partitions_of() {
    let mut root = table(1, "events");
    root.kind = 'p';
    let mut leaf = table(2, "events_1");
    leaf.is_partition = true;
    leaf.parents = vec![1];
    let all = inventory(vec![root, leaf, table(3, "users")]);
    let plan = make(&all, &Selection::default(), &Circumstances::default());
    assert_eq!(travelling_names(&plan), ["events_1", "users"]);

    let without_rows = Selection {
        exclude_table_data: vec!["events".to_owned()],
        ..Selection::default()
    };
    let plan = make(&all, &without_rows, &Circumstances::default());
    assert_eq!(travelling_names(&plan), ["users"]);
    assert!(plan.left_out.is_empty());

    let picked = Selection {
        tables: vec!["events_1".to_owned()],
        ..Selection::default()
    };
    let plan = make(&all, &picked, &Circumstances::default());
    assert_eq!(travelling_names(&plan), ["events_1"]);
    assert_eq!(plan.left_out, [("public".to_owned(), "users".to_owned())]);
}

#[test]
fn rows_scattered_by_an_enums_hash_travel_by_the_root() {
    let mut root = table(1, "moods");
    root.kind = 'p';
    root.scattered = true;
    let mut leaf = table(2, "moods_0");
    leaf.is_partition = true;
    leaf.parents = vec![1];
    let plan = make(
        &inventory(vec![root, leaf]),
        &Selection::default(),
        &Circumstances::default(),
    );
    assert_eq!(travelling_names(&plan), ["moods"]);
    assert!(plan.relations[0].by_root);
}

#[test]
fn rows_of_an_extension_travel_only_as_its_configuration() {
    let mut config = table(1, "spatial_ref_sys");
    config.of_extension = true;
    config.config_filter = Some("WHERE srid > 9000".to_owned());
    let mut internal = table(2, "internal");
    internal.of_extension = true;
    let plan = make(
        &inventory(vec![config, internal]),
        &Selection::default(),
        &Circumstances::default(),
    );
    assert_eq!(travelling_names(&plan), ["spatial_ref_sys"]);
    assert_eq!(plan.relations[0].plan.kind, RelationKind::ExtensionConfig);
    assert_eq!(plan.relations[0].plan.filter, "WHERE srid > 9000");
}

#[test]
fn a_schema_alone_has_no_rows_but_all_definitions() {
    let mut all = inventory(vec![table(1, "orders")]);
    all.large_object_bytes = 5;
    let selection = Selection {
        schema_only: true,
        ..Selection::default()
    };
    let plan = make(&all, &selection, &Circumstances::default());
    assert!(plan.relations.is_empty() && plan.left_out.is_empty() && !plan.with_large_objects);
    assert_eq!(plan.locks, [r#""public"."orders""#]);
}
