//! Staging, publishing and taking back, on a real server.

use crate::support::Server;
use holdfast_agent::{
    engine::postgres::publication::{Former, Note, Notes},
    task::{Context, perform},
};
use holdfast_proto::task::{
    DatabaseTarget, DropDatabase, DropRoles, DroppedRoles, FailureKind, PublishDatabase, Role,
    StageDatabase, TaskFailure, TaskResult, TaskSpec, UnpublishDatabase,
};

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
        job: 1,
    };
    perform(TaskSpec::StageDatabase(spec), context).await
}

async fn publish(context: &Context, keep_as: &str) -> Result<TaskResult, TaskFailure> {
    let spec = PublishDatabase {
        instance: "shop-db".into(),
        staging: STAGING.into(),
        name: "shop".into(),
        keep_as: keep_as.into(),
        job: 1,
    };
    perform(TaskSpec::PublishDatabase(spec), context).await
}

async fn unpublish(context: &Context, kept_as: &str) -> Result<TaskResult, TaskFailure> {
    unpublish_to(context, kept_as, UNDONE, 0).await
}

/// A copy that never was in use becomes the staging database again, and its roles the job's.
async fn unpublish_to(
    context: &Context,
    kept_as: &str,
    aside: &str,
    job: u64,
) -> Result<TaskResult, TaskFailure> {
    let spec = UnpublishDatabase {
        instance: "shop-db".into(),
        name: "shop".into(),
        kept_as: kept_as.into(),
        set_aside_as: aside.into(),
        staging: STAGING.into(),
        job,
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
        roles: Vec::new(),
    };
    Notes::of(&context).write(STAGING, &note).expect("noted");
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

fn role(name: &str, member_of: &[&str]) -> Role {
    Role {
        name: name.into(),
        member_of: member_of.iter().map(ToString::to_string).collect(),
        ..Role::default()
    }
}

async fn drop_roles(context: &Context, job: u64, roles: &[&str]) -> DroppedRoles {
    let spec = DropRoles {
        instance: "shop-db".into(),
        job,
        roles: roles.iter().map(ToString::to_string).collect(),
    };
    match perform(TaskSpec::DropRoles(spec), context).await {
        Ok(TaskResult::DroppedRoles(dropped)) => dropped,
        other => panic!("{other:?}"),
    }
}

fn left(dropped: &DroppedRoles) -> Vec<(&str, &str)> {
    let left = dropped.left.iter();
    left.map(|left| (left.role.as_str(), left.reason.as_str()))
        .collect()
}

fn created(staged: Result<TaskResult, TaskFailure>) -> Vec<String> {
    match staged {
        Ok(TaskResult::StagedDatabase(staged)) => staged.created_roles,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_a_copy_that_does_not_stand_go_and_only_those() {
    for version in [15, 17] {
        let (server, dir) = (
            Server::start(version),
            tempfile::tempdir().expect("a directory"),
        );
        let context = server.context(dir.path());
        let _ = server.psql("postgres", "create role theirs");
        let wanted = || {
            ["app", "owner", "theirs", "used"]
                .map(|name| role(name, &["team"]))
                .into_iter()
                .chain(["reader", "team"].map(|name| role(name, &[])))
                .collect::<Vec<_>>()
        };
        let ours = ["app", "owner", "reader", "team", "used"];
        assert_eq!(created(stage(&context, wanted()).await), ours);
        // Nobody heard the first answer: the second tells them all the same.
        assert_eq!(created(stage(&context, wanted()).await), ours);
        let marked = "select count(*) from pg_roles where shobj_description(oid, 'pg_authid') = 'created by holdfast job 1'";
        assert_eq!(server.psql("postgres", marked), "5");

        let _ = server.psql("postgres", "create database mine owner owner");
        let _ = server.psql("postgres", "create role ann");
        let _ = server.psql("postgres", "grant used to ann");
        let _ = server.psql(
            "postgres",
            "comment on role reader is 'ours since yesterday'",
        );
        let asked = ["app", "gone", "owner", "reader", "team", "theirs", "used"];
        // Another copy grows here, and may need them.
        let _ = server.psql("postgres", "create database other__staging_7");
        let dropped = drop_roles(&context, 1, &asked).await;
        assert_eq!(dropped.gone, ["gone"]);
        let needed = "the copy that grows in \"other__staging_7\" may need it";
        assert_eq!(
            left(&dropped),
            ["app", "owner", "team", "used"].map(|role| (role, needed))
        );
        let _ = server.psql("postgres", "drop database other__staging_7");
        // Roles of another job.
        assert_eq!(drop_roles(&context, 11, &asked).await.gone, ["gone"]);

        let dropped = drop_roles(&context, 1, &asked).await;
        assert_eq!(dropped.gone, ["app", "gone", "team"]);
        assert_eq!(
            left(&dropped),
            [
                ("owner", "owner of database mine"),
                ("used", "\"ann\" is a member of it")
            ]
        );
        let again = drop_roles(&context, 1, &asked).await;
        assert_eq!(again, dropped);
        let roles = "select string_agg(rolname, ' ' order by rolname) from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres'";
        assert_eq!(
            server.psql("postgres", roles),
            "ann owner reader theirs used"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_ordinary_while_the_copy_stands() {
    let (server, dir) = (Server::start(17), tempfile::tempdir().expect("a directory"));
    let context = server.context(dir.path());
    let comment = || {
        server.psql(
            "postgres",
            "select coalesce(shobj_description(oid, 'pg_authid'), '-') from pg_roles where rolname = 'app'",
        )
    };
    let _ = stage(&context, vec![role("app", &[])])
        .await
        .expect("staged");
    publish(&context, "").await.expect("published");
    assert_eq!(comment(), "-");
    publish(&context, "").await.expect("published already");
    assert_eq!(drop_roles(&context, 1, &["app"]).await.gone, [""; 0]);

    // The job fails after all: nobody has used the copy.
    for _ in 0..2 {
        unpublish_to(&context, "", STAGING, 1)
            .await
            .expect("taken back");
        assert_eq!(comment(), "created by holdfast job 1");
    }
    publish(&context, "").await.expect("published");
    assert_eq!(comment(), "-");
    // An operator's undo: somebody may use the role since.
    unpublish(&context, "").await.expect("taken back");
    assert_eq!(comment(), "-");
    assert_eq!(drop_roles(&context, 1, &["app"]).await.left, []);
    assert_eq!(comment(), "-");
}
