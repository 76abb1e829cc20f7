//! Staging, publishing and taking back, on a real server.

#[path = "support/server.rs"]
mod support;

use holdfast_agent::{
    engine::postgres::publication::{Former, Note, Notes},
    task::{Context, perform},
};
use holdfast_proto::task::{
    DatabaseTarget, DropDatabase, FailureKind, PublishDatabase, Role, StageDatabase, TaskFailure,
    TaskResult, TaskSpec, UnpublishDatabase,
};
use support::Server;

const STAGING: &str = "shop__staging_1";
const BEFORE: &str = "shop__before_1";
const UNDONE: &str = "shop__undone_1";

async fn stage(context: &Context, roles: Vec<Role>) -> Result<TaskResult, TaskFailure> {
    let spec = StageDatabase {
        staging: DatabaseTarget {
            instance: "shop-db".into(),
            database: STAGING.into(),
        },
        owner: String::new(),
        encoding: "UTF8".into(),
        collate: "C".into(),
        ctype: "C".into(),
        locale_provider: String::new(),
        icu_locale: String::new(),
        roles,
    };
    perform(TaskSpec::StageDatabase(spec), context).await
}

async fn publish(context: &Context, keep_as: &str) -> Result<TaskResult, TaskFailure> {
    let spec = PublishDatabase {
        instance: "shop-db".into(),
        staging: STAGING.into(),
        name: "shop".into(),
        keep_as: keep_as.into(),
    };
    perform(TaskSpec::PublishDatabase(spec), context).await
}

async fn unpublish(context: &Context, kept_as: &str) -> Result<TaskResult, TaskFailure> {
    let spec = UnpublishDatabase {
        instance: "shop-db".into(),
        name: "shop".into(),
        kept_as: kept_as.into(),
        set_aside_as: UNDONE.into(),
        staging: STAGING.into(),
    };
    perform(TaskSpec::UnpublishDatabase(spec), context).await
}

fn databases(server: &Server) -> String {
    server.psql(
        "postgres",
        "select string_agg(datname || case when datallowconn then '' else ' (closed)' end, ', ' order by datname)
         from pg_database where datname like 'shop%'",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_database_is_kept_and_comes_back_and_everything_can_be_repeated() {
    let (server, dir) = (Server::start(15), tempfile::tempdir().expect("a directory"));
    let context = server.context(dir.path());
    let _ = server.psql("postgres", "create database shop");
    let _ = server.psql("shop", "create table old ()");
    stage(&context, Vec::new()).await.expect("staged");
    stage(&context, Vec::new()).await.expect("staged again");
    let _ = server.psql(STAGING, "create table new ()");

    // A session on the place: it is told to end.
    let session = server.route().connect("shop").await.expect("a session");
    let refused = publish(&context, "")
        .await
        .expect_err("a database stands there");
    assert_eq!(refused.kind, FailureKind::Conflict, "{refused}");
    assert_eq!(databases(&server), format!("shop, {STAGING}"));
    publish(&context, BEFORE).await.expect("published");
    assert!(
        session.simple_query("select 1").await.is_err(),
        "the session has ended"
    );
    assert_eq!(databases(&server), format!("shop, {BEFORE}"));
    publish(&context, BEFORE).await.expect("published already");
    assert_eq!(
        server.psql(
            "shop",
            "select count(*) from pg_tables where tablename = 'new'"
        ),
        "1"
    );

    unpublish(&context, BEFORE).await.expect("taken back");
    unpublish(&context, BEFORE)
        .await
        .expect("taken back already");
    assert_eq!(databases(&server), format!("shop, {UNDONE}"));
    assert_eq!(
        server.psql(
            "shop",
            "select count(*) from pg_tables where tablename = 'old'"
        ),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_made_quiet_and_then_left_is_opened_again() {
    let (server, dir) = (Server::start(17), tempfile::tempdir().expect("a directory"));
    let context = server.context(dir.path());
    let _ = server.psql("postgres", "create database shop");
    stage(&context, Vec::new()).await.expect("staged");
    // As a crash between the first statement and the renames leaves it.
    let oid = |name: &str| {
        let sql = format!("select oid from pg_database where datname = '{name}'");
        server.psql("postgres", &sql).parse().expect("an oid")
    };
    let note = Note {
        staging_oid: oid(STAGING),
        former: Some(Former {
            oid: oid("shop"),
            allowed_connections: true,
        }),
    };
    Notes::of(&context).write(STAGING, note).expect("noted");
    let _ = server.psql("postgres", "alter database shop allow_connections false");
    unpublish(&context, BEFORE)
        .await
        .expect("nothing was published");
    assert_eq!(databases(&server), format!("shop, {STAGING}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_very_database_that_was_published_is_taken_back() {
    let (server, dir) = (Server::start(15), tempfile::tempdir().expect("a directory"));
    let context = server.context(dir.path());
    // `--replace` where nothing stands: nothing is kept, and that is no reason to refuse the way back.
    stage(&context, Vec::new()).await.expect("staged");
    publish(&context, BEFORE).await.expect("published");
    publish(&context, BEFORE).await.expect("published already");
    unpublish(&context, BEFORE).await.expect("taken back");
    assert_eq!(databases(&server), UNDONE);
    let _ = server.psql("postgres", &format!("drop database \"{UNDONE}\""));

    stage(&context, Vec::new()).await.expect("staged");
    publish(&context, "").await.expect("published");
    let _ = server.psql("postgres", "alter database shop rename to shop_mine");
    let _ = server.psql("postgres", "create database shop");
    let refused = unpublish(&context, "").await;
    let refused = refused.expect_err("a later database stands there");
    assert_eq!(refused.kind, FailureKind::Conflict, "{refused}");
    assert_eq!(databases(&server), "shop, shop_mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staging_database_that_is_gone_is_not_taken_for_published() {
    let (server, dir) = (Server::start(15), tempfile::tempdir().expect("a directory"));
    let context = server.context(dir.path());
    let _ = server.psql("postgres", "create database shop");
    let failure = publish(&context, BEFORE)
        .await
        .expect_err("nothing was staged");
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    assert_eq!(databases(&server), "shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_roles_are_made_without_power_and_only_marked_databases_are_dropped() {
    let (server, dir) = (Server::start(17), tempfile::tempdir().expect("a directory"));
    let context = server.context(dir.path());
    let roles = vec![
        Role {
            name: "app \"x\"".into(),
            login: true,
            superuser: true,
            member_of: vec!["team".into()],
            ..Role::default()
        },
        Role {
            name: "team".into(),
            ..Role::default()
        },
        Role {
            name: "postgres".into(),
            ..Role::default()
        },
    ];
    let staged = stage(&context, roles).await.expect("staged");
    let TaskResult::StagedDatabase(staged) = staged else {
        panic!("{staged:?}")
    };
    assert_eq!(staged.created_roles, ["app \"x\"", "team"]);
    assert_eq!(
        server.psql("postgres", "select rolname, rolsuper, rolcanlogin, pg_has_role(oid, 'team', 'member') from pg_roles where rolname like 'app%'"),
        "app \"x\"|f|t|t"
    );
    let drop = |database: &str| {
        let target = DatabaseTarget {
            instance: "shop-db".into(),
            database: database.into(),
        };
        perform(TaskSpec::DropDatabase(DropDatabase { target }), &context)
    };
    assert_eq!(
        drop("postgres").await.expect_err("no mark").kind,
        FailureKind::Refused
    );
    drop(STAGING).await.expect("dropped");
    drop(STAGING).await.expect("dropped already");
    assert_eq!(databases(&server), "");
}
