//! Databases of other encodings and locales, staged and copied as a job does it.
//!
//! Their rows must arrive byte by byte, also those that are no text in any encoding.

use crate::image::{Copy, Pair, STAGING};
use crate::support::Server;
use holdfast_agent::task::perform;
use holdfast_proto::task::{
    DatabaseFacts, DatabaseTarget, DescribeDatabase, Selection, StageDatabase, TaskResult, TaskSpec,
};

/// What the preflight learns of the source.
async fn described(source: &Server) -> DatabaseFacts {
    let state = tempfile::tempdir().expect("a directory");
    let spec = DescribeDatabase {
        target: database("shop"),
        as_source: true,
        selection: Selection::default(),
    };
    let context = source.context(state.path());
    match perform(TaskSpec::DescribeDatabase(spec), &context).await {
        Ok(TaskResult::DatabaseFacts(facts)) => facts,
        other => panic!("not described: {other:?}"),
    }
}

fn database(name: &str) -> DatabaseTarget {
    DatabaseTarget {
        instance: "shop-db".to_owned(),
        database: name.to_owned(),
    }
}

/// Makes the staging database anew by what the source was found to be, and copies into it.
async fn staged_and_copied(pair: &Pair) -> DatabaseFacts {
    let facts = described(&pair.source).await;
    let spec = StageDatabase {
        staging: database(STAGING),
        owner: String::new(),
        encoding: facts.encoding.clone(),
        collate: facts.collate.clone(),
        ctype: facts.ctype.clone(),
        locale_provider: facts.locale_provider.clone(),
        icu_locale: facts.icu_locale.clone(),
        roles: Vec::new(),
        job: 1,
    };
    let state = tempfile::tempdir().expect("a directory");
    let context = pair.target.context(state.path());
    let staged = perform(TaskSpec::StageDatabase(spec), &context).await;
    staged.expect("the same encoding and locale");
    let (sent, received) = pair.copy(Copy::default()).await.expect("the image arrives");
    for (left, right) in sent.manifest.relations.iter().zip(&received.relations) {
        let proof = (left.rows, left.fingerprint);
        assert_eq!(proof, (right.rows, right.fingerprint), "{}", left.name);
    }
    assert_eq!(received.notices, Vec::<String>::new());
    let properties = "select pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider \
                      from pg_database where datname = current_database()";
    pair.both_say(properties);
    facts
}

/// The content of a table as one hash, in the bytes that the server itself holds.
#[track_caller]
fn same_content(pair: &Pair, table: &str) {
    let encoding = "(select getdatabaseencoding()::name)";
    let sql = format!(
        "select count(*) || ' ' || md5(string_agg(md5(convert_to(t::text, {encoding})), '' order by id)) from {table} t"
    );
    let said = pair.both_say(&sql);
    assert!(!said.starts_with('0'), "{table} holds nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latin1_database_arrives_byte_by_byte() {
    for (source, target) in [(15, 15), (15, 17)] {
        let pair = Pair::start_with(source, target, "encoding 'LATIN1' locale 'C'");
        pair.fill(
            r#"set client_encoding = 'UTF8';
            create table "Größe" (id int primary key, "Straße" text default 'für', bytes bytea);
            comment on table "Größe" is 'à la carte';
            insert into "Größe" select n, chr(n), decode(lpad(to_hex(n), 2, '0'), 'hex')
              from generate_series(1, 255) n;
            insert into "Größe" (id) values (256);
            alter table "Größe" add check ("Straße" <> 'ÿþ');
            create type "Käse" as enum ('Comté', 'Gruyère');
            create table typed (id int primary key, kind "Käse", kinds "Käse"[]);
            insert into typed values (1, 'Comté', '{Gruyère,Comté}');
            create function "grüße"() returns text language sql as 'select ''Grüße, é''::text';
            create view "Übersicht" as select id, "Straße" from "Größe" where "Straße" <> 'é';
            select lo_from_bytea(4711, 'é');"#,
        );
        let facts = staged_and_copied(&pair).await;
        assert_eq!(facts.encoding, "LATIN1");
        same_content(&pair, "\"Größe\"");
        same_content(&pair, "typed");
        let odd = "select md5(convert_to(\"grüße\"(), 'LATIN1')) || md5(convert_to(obj_description('\"Größe\"'::regclass), 'LATIN1')) \
                   || md5(lo_get(4711)) || (select count(*) from \"Übersicht\")";
        pair.both_say(odd);
        let default = "select octet_length(\"Straße\") from \"Größe\" where id = 256";
        assert_eq!(pair.both_say(default), "3", "one byte for one letter");
        pair.assert_same_dump();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_without_an_encoding_arrive_as_they_are() {
    for (source, target) in [(15, 15), (15, 17)] {
        let pair = Pair::start_with(source, target, "encoding 'SQL_ASCII' locale 'C'");
        pair.fill(
            r"create table raw (id int primary key, bytes text, more varchar(20), pieces text[]);
            insert into raw select n,
              convert_from(decode(lpad(to_hex(n), 2, '0') || 'fffe80c3', 'hex'), 'SQL_ASCII'),
              convert_from('\xe9', 'SQL_ASCII'), array[convert_from('\xc328', 'SQL_ASCII'), 'tab	and \.']
              from generate_series(1, 255) n;
            create index on raw (bytes);
            create table plain (id int primary key, at timestamptz, words tsvector);
            insert into plain values (1, '2026-01-02 03:04:05+09', to_tsvector('simple', 'a b'));",
        );
        let facts = staged_and_copied(&pair).await;
        assert_eq!(facts.encoding, "SQL_ASCII");
        same_content(&pair, "raw");
        same_content(&pair, "plain");
        let seen = "select encode(convert_to(bytes, 'SQL_ASCII'), 'hex') from raw where id = 10";
        assert_eq!(pair.both_say(seen), "0afffe80c3");
        pair.assert_same_dump();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_sorts_by_icu_sorts_so_afterwards() {
    for (source, target) in [(15, 15), (15, 17)] {
        let locale = "encoding 'UTF8' locale_provider icu icu_locale 'sv-SE' locale 'C.UTF-8'";
        let pair = Pair::start_with(source, target, locale);
        pair.fill(
            "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             create table words (id serial primary key, word text unique, name text collate loose);
             insert into words (word, name) values ('zebra', 'a'), ('ärlig', 'A'), ('ask', 'b'), ('öl', 'B'), ('Ask', '😀');
             create index on words (name);",
        );
        let facts = staged_and_copied(&pair).await;
        assert_eq!(
            (facts.locale_provider.as_str(), facts.icu_locale.as_str()),
            ("icu", "sv-SE")
        );
        same_content(&pair, "words");
        let sorted = "select string_agg(word, ' ' order by word) from words";
        assert_eq!(pair.both_say(sorted), "ask Ask zebra ärlig öl");
        assert_eq!(pair.both_say("select count(distinct name) from words"), "3");
        pair.assert_same_dump();
    }
}

/// What the target would answer.
async fn capabilities(server: &Server) -> DatabaseFacts {
    let spec = DescribeDatabase {
        target: database("copy"),
        as_source: false,
        selection: Selection::default(),
    };
    let state = tempfile::tempdir().expect("a directory");
    let facts = perform(
        TaskSpec::DescribeDatabase(spec),
        &server.context(state.path()),
    )
    .await;
    match facts.expect("described") {
        TaskResult::DatabaseFacts(facts) => facts,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collations_of_single_columns_are_told_on_both_sides() {
    for version in [15, 17] {
        let pair = Pair::start(version, 17);
        // As if the source had been made with a locale that the target never had.
        pair.fill(
            r#"create collation pg_catalog."xx_XX" (provider = libc, locale = 'C.UTF-8');
            create schema app;
            create collation app.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
            create domain app.word as text collate "sv-x-icu";
            create type app.span as range (subtype = text, collation = "de-x-icu");
            create table app.words (id int, plain text, c text collate "C", odd text collate "xx_XX", loose text collate app.loose);
            create index by_french on app.words (plain collate "fr-x-icu");"#,
        );
        let facts = described(&pair.source).await;
        let told: Vec<_> = facts
            .collations
            .iter()
            .map(|c| {
                (
                    c.name.as_str(),
                    c.own,
                    c.provider.as_str(),
                    c.used_by.as_str(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("app.loose", true, "icu", "column app.words.loose"),
                ("de-x-icu", false, "icu", "type app.span"),
                ("fr-x-icu", false, "icu", "index app.by_french"),
                ("sv-x-icu", false, "icu", "domain app.word"),
                ("xx_XX", false, "libc", "column app.words.odd"),
            ]
        );
        assert_eq!(facts.collations[0].locale, "und-u-ks-level2");
        let known = capabilities(&pair.target).await.collations;
        let knows = |name: &str| known.iter().any(|c| c.name == name);
        for name in ["de-x-icu", "fr-x-icu", "sv-x-icu"] {
            assert!(knows(name), "{name}");
        }
        assert!(!knows("xx_XX"));
        // One that only this database has is none that a new one would have.
        let _ = pair.target.psql(
            "postgres",
            r#"create collation pg_catalog."xx_XX" (provider = libc, locale = 'C.UTF-8')"#,
        );
        let known = capabilities(&pair.target).await.collations;
        assert!(known.iter().all(|c| c.name != "xx_XX"));
    }
}
