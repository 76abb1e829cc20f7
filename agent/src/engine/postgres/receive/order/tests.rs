use holdfast_proto::image::{ConstraintIndex, CopyFormat, RelationKind};

use super::*;
use crate::engine::postgres::archive::Section;

fn entry(id: i64, desc: &str, tag: &str, defn: &str, dependencies: &[i64]) -> Entry {
    Entry {
        id,
        section: Section::Post,
        desc: desc.to_owned(),
        tag: tag.to_owned(),
        namespace: "public".to_owned(),
        owner: "alice".to_owned(),
        tablespace: String::new(),
        access_method: String::new(),
        defn: defn.to_owned(),
        drop_statement: String::new(),
        dependencies: dependencies.to_vec(),
    }
}

fn plan(id: u32, name: &str, constraint: &str) -> RelationPlan {
    RelationPlan {
        id,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        columns: Vec::new(),
        format: CopyFormat::Binary,
        parts: 1,
        estimated_bytes: 0,
        filter: String::new(),
        constraint_indexes: vec![ConstraintIndex {
            constraint: constraint.to_owned(),
            create_index: format!("CREATE UNIQUE INDEX {constraint} …"),
            attach: format!("ATTACH {constraint}"),
        }],
    }
}

fn name(table: &str) -> (String, String) {
    ("public".to_owned(), table.to_owned())
}

/// Tables 1 `a b` and 2 `users` with rows, 3 `parted` partitioned, 4 `totals` a materialised view.
fn contents(entries: Vec<Entry>) -> Contents {
    Contents {
        relations: vec![plan(10, "a b", "a b_pkey"), plan(20, "users", "users_pkey")],
        entries,
        tables: BTreeMap::from([
            (1, name("a b")),
            (2, name("users")),
            (3, name("parted")),
            (4, name("totals")),
            (5, name("empty")),
        ]),
        kinds: BTreeMap::from([
            (name("a b"), 'r'),
            (name("users"), 'r'),
            (name("parted"), 'p'),
            (name("totals"), 'm'),
            (name("empty"), 'r'),
        ]),
        alone: BTreeSet::from([name("a b"), name("users"), name("empty")]),
        ..Contents::default()
    }
}

fn labels(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.label.as_str()).collect()
}

#[test]
fn a_plain_primary_key_is_an_early_index_and_a_late_constraint() {
    let order = of(&contents(vec![entry(
        100,
        "CONSTRAINT",
        "a b a b_pkey",
        "ALTER TABLE ONLY public.\"a b\"\n    ADD CONSTRAINT \"a b_pkey\" PRIMARY KEY (id);\n",
        &[1],
    )]));
    assert_eq!(order.early.len(), 1);
    assert!(
        order.early[0]
            .step
            .sql
            .ends_with("CREATE UNIQUE INDEX a b_pkey …")
    );
    assert_eq!(order.after[&10][0].sql, "ATTACH a b_pkey");
    assert_eq!(order.constraints, 1);
}

#[test]
fn a_constraint_that_marks_its_table_waits_and_stays_as_it_is() {
    let defn = "ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);\n\n\
                ALTER TABLE public.users CLUSTER ON users_pkey;\n";
    let order = of(&contents(vec![entry(
        100,
        "CONSTRAINT",
        "users users_pkey",
        defn,
        &[2],
    )]));
    assert!(order.early.is_empty());
    assert!(order.after[&20][0].sql.contains("CLUSTER ON"));
}

#[test]
fn indexes_of_what_has_no_rows_of_its_own_do_not_run_early() {
    let order = of(&contents(vec![
        entry(
            100,
            "INDEX",
            "parted_x",
            "CREATE INDEX parted_x ON ONLY public.parted (x);\n",
            &[3],
        ),
        entry(
            101,
            "INDEX",
            "totals_x",
            "CREATE INDEX totals_x ON public.totals (x);\n",
            &[4],
        ),
        entry(
            102,
            "INDEX",
            "empty_x",
            "CREATE INDEX empty_x ON public.empty (x);\n",
            &[5],
        ),
        entry(
            103,
            "INDEX",
            "users_x",
            "CREATE INDEX users_x ON public.users USING gin (x);\n",
            &[2],
        ),
        entry(
            104,
            "INDEX ATTACH",
            "users_x",
            "ALTER INDEX …;\n",
            &[100, 103],
        ),
    ]));
    assert_eq!(
        labels(&order.structure),
        [
            "INDEX public.parted_x",
            "INDEX public.totals_x",
            "INDEX ATTACH public.users_x"
        ]
    );
    assert_eq!(order.beside.len(), 1);
    assert_eq!((order.early.len(), order.early[0].inverted), (1, true));
    assert_eq!(order.indexes, 4);
}

#[test]
fn what_depends_on_a_late_entry_keeps_its_place() {
    let order = of(&contents(vec![
        entry(
            100,
            "MATERIALIZED VIEW",
            "late",
            "CREATE MATERIALIZED VIEW …;\n",
            &[],
        ),
        entry(101, "INDEX", "late_x", "CREATE INDEX …;\n", &[100]),
    ]));
    assert_eq!(
        labels(&order.rest),
        ["MATERIALIZED VIEW public.late", "INDEX public.late_x"]
    );
}

#[test]
fn foreign_keys_of_ordinary_tables_are_validated_apart() {
    let order = of(&contents(vec![
        entry(
            100,
            "FK CONSTRAINT",
            "a b fk",
            "ALTER TABLE ONLY public.\"a b\"\n    ADD CONSTRAINT fk FOREIGN KEY (x) REFERENCES public.users(id) DEFERRABLE;\n",
            &[1, 2],
        ),
        entry(
            101,
            "FK CONSTRAINT",
            "parted fk",
            "ALTER TABLE public.parted\n    ADD CONSTRAINT fk FOREIGN KEY (x) REFERENCES public.users(id);\n",
            &[2, 3],
        ),
        entry(
            102,
            "FK CONSTRAINT",
            "users fk",
            "ALTER TABLE ONLY public.users\n    ADD CONSTRAINT fk FOREIGN KEY (x) REFERENCES public.users(id) NOT VALID;\n",
            &[2],
        ),
    ]));
    let [first, second, third] = &order.foreign_keys[..] else {
        panic!("three foreign keys: {order:?}");
    };
    assert_eq!(first.table, name("a b"));
    assert!(
        first
            .add
            .sql
            .ends_with("REFERENCES public.users(id) DEFERRABLE NOT VALID")
    );
    assert_eq!(
        first.validate.as_ref().unwrap().sql,
        r#"ALTER TABLE "public"."a b" VALIDATE CONSTRAINT "fk""#
    );
    assert_eq!(second.validate, None);
    assert_eq!(third.validate, None);
    let both_ends = ["a b", "parted", "users"].map(name);
    assert_eq!(order.related, BTreeSet::from(both_ends));
}

#[test]
fn grants_come_after_objects_and_event_triggers_at_the_very_end() {
    let order = of(&contents(vec![
        entry(100, "EVENT TRIGGER", "e", "CREATE EVENT TRIGGER …;\n", &[]),
        entry(
            101,
            "DEFAULT ACL",
            "d",
            "ALTER DEFAULT PRIVILEGES …;\n",
            &[],
        ),
        entry(102, "TRIGGER", "users t", "CREATE TRIGGER …;\n", &[2]),
        entry(103, "COMMENT", "EVENT TRIGGER e", "COMMENT …;\n", &[100]),
    ]));
    assert_eq!(
        labels(&order.rest),
        ["TRIGGER public.users t", "DEFAULT ACL public.d"]
    );
    assert_eq!(
        labels(&order.last),
        ["EVENT TRIGGER public.e", "COMMENT public.EVENT TRIGGER e"]
    );
}

#[test]
fn statistics_wait_for_what_they_depend_on() {
    let index = |id, table| entry(id, "INDEX", "i", "CREATE INDEX i ON …;\n", &[table]);
    let after = |id, before| {
        let defn = "CREATE INDEX j ON …;\n";
        entry(id, "INDEX", "j", defn, &[2, before])
    };
    let asked = entry(101, "STATISTICS", "s", "CREATE STATISTICS …;\n", &[1]);
    let settled = |entries| of(&contents(entries)).settled;
    let both = BTreeSet::from([10, 20]);
    assert_eq!(settled(vec![index(100, 1), index(101, 2)]), both);
    assert_eq!(settled(vec![index(100, 1), asked]), BTreeSet::from([20]));
    // An index that waits for another entry is built later.
    let waits = vec![index(100, 1), after(101, 100)];
    assert_eq!(settled(waits), BTreeSet::from([10]));
    let trigger = entry(100, "TRIGGER", "t", "CREATE TRIGGER …;\n", &[1]);
    assert_eq!(settled(vec![trigger]), both);

    let mut parents = contents(Vec::new());
    parents.alone.remove(&name("users"));
    assert_eq!(of(&parents).settled, BTreeSet::from([10]));
}
