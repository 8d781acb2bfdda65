//! Servers that go down and come back, and standbys: each test has a server of its own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, EventStore, verify};
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::run_sql;
use crate::support::{create, id, options, run};

pub(super) fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

/// One of PostgreSQL's programs, run as the user that may run it.
fn program(name: &str) -> Command {
    let path = format!("{}/{name}", variable("EBB_TEST_PROGRAMS"));
    let wrapper = variable("EBB_TEST_AS_SERVER");
    let mut words = wrapper.split_whitespace();
    let mut command = match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(path);
            command
        }
        None => Command::new(path),
    };
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn ran(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A server of a test's own; it is stopped when the test ends, and its data go with the other servers'.
pub(crate) struct Server {
    data: String,
    port: u16,
    process: Child,
}

impl Server {
    pub(crate) async fn new(name: &str) -> Self {
        let data = format!("{}/{name}", variable("EBB_TEST_SERVERS"));
        ran(program("initdb").args([
            "-D",
            &data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        Self::start(data).await
    }

    /// A standby of this one, in recovery for as long as it runs.
    async fn standby(&self, name: &str) -> Self {
        let data = format!("{}/{name}", variable("EBB_TEST_SERVERS"));
        let port = self.port.to_string();
        ran(program("pg_basebackup").args([
            "-D",
            &data,
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-X",
            "stream",
            "-c",
            "fast",
            "-R",
            "--no-sync",
        ]));
        Self::start(data).await
    }

    async fn start(data: String) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Self::postgres(&data, port);
        let server = Self {
            data,
            port,
            process,
        };
        server.answers().await;
        server
    }

    fn postgres(data: &str, port: u16) -> Child {
        program("postgres")
            .args([
                "-D",
                data,
                "-p",
                &port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args([
                "-c",
                "fsync=off",
                "-c",
                "max_connections=30",
                "-c",
                "shared_buffers=16MB",
            ])
            .spawn()
            .unwrap()
    }

    /// Waits until it does.
    async fn answers(&self) {
        loop {
            match PgConnection::connect(&self.url("postgres")).await {
                Ok(connection) => return connection.close().await.unwrap(),
                Err(error) => assert!(
                    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Database(_)),
                    "{error}"
                ),
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn signal(&self, signal: &str) {
        ran(Command::new("kill").args([signal, &self.process.id().to_string()]));
    }

    /// As if the power had failed: no session ends properly, and nothing is written out.
    fn crash(&mut self) {
        self.signal("-QUIT");
        self.process.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.process = Self::postgres(&self.data, self.port);
        self.answers().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal("-QUIT");
            let _ = self.process.wait();
        }
    }
}

async fn mad_lab(server: &Server) -> std::sync::Arc<dyn EventStore> {
    let address = Address::Postgres(server.url("postgres"));
    let lab = store::init(
        &address,
        &options(),
        Some(ebbtide::demo::schema(Backend::Postgres)),
    )
    .await
    .unwrap()
    .store;
    ebbtide::demo::tell(&*lab).await.unwrap();
    lab
}

fn before_15() -> RollbackRequest {
    RollbackRequest::to(RollbackTarget::BeforeEvent(15))
}

#[test]
fn a_server_that_goes_down_in_the_middle_of_a_transaction_leaves_nothing_half_done() {
    run(async {
        let mut server = Server::new("restarted").await;
        let lab = mad_lab(&server).await;
        let mut client = PgConnection::connect(&server.url("postgres"))
            .await
            .unwrap();
        run_sql(
            &mut client,
            r#"BEGIN; INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'fragment', '{"smiles": "lost"}');
               INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17T03:09:59.145749"}')"#,
        )
        .await
        .unwrap();
        server.crash();
        let error = lab
            .append(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await
            .expect_err("down");
        assert_eq!(error.code, ErrorCode::Unreachable, "{}", error.message);
        assert!(error.hint.is_some());
        server.start_again().await;
        // What was open is lost, and said so; then it works again.
        while let Err(error) = lab.head().await {
            assert_eq!(error.code, ErrorCode::Unreachable, "{}", error.message);
        }
        assert_eq!(lab.head().await.unwrap(), 18);
        assert_eq!(verify::drift(&*lab).await.unwrap().findings, []);
        // What is not logged by the server is empty now, and nothing misses it.
        lab.append(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await
            .unwrap();
        let plan = rollback::plan(&*lab, before_15()).await.unwrap();
        let outcome = rollback::execute(
            &*lab,
            &plan.confirm(false).unwrap(),
            &rollback::Control::default(),
        )
        .await
        .unwrap();
        assert_eq!(outcome.keeps_through, 14);
        assert_eq!(verify::drift(&*lab).await.unwrap().findings, []);
        lab.close().await;
    });
}

#[test]
fn a_standby_is_read_and_says_that_it_is_one() {
    run(async {
        let server = Server::new("primary").await;
        let lab = mad_lab(&server).await;
        let standby = server.standby("standby").await;
        let address = Address::Postgres(standby.url("postgres"));
        let mirror = store::open(&address, &options()).await.unwrap();
        assert_eq!(
            mirror.info().read_only.as_deref(),
            Some("the server is a standby")
        );
        assert_eq!(mirror.head().await.unwrap(), 18);
        assert_eq!(verify::drift(&*mirror).await.unwrap().findings, []);
        let plan = rollback::plan(&*mirror, before_15()).await.unwrap();
        assert_eq!(plan.events_undone, 4);
        let error = mirror
            .append(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await
            .expect_err("a standby");
        assert_eq!(error.code, ErrorCode::ReadOnly, "{}", error.message);
        // What is written on the other side arrives, and who waits for it hears of it.
        let event = vec![create("fragment", id(1), json!({"smiles": "X"}))];
        let (next, appended) = tokio::join!(mirror.next_head(18), lab.append(event));
        appended.unwrap();
        assert_eq!(next.unwrap(), 19);
        mirror.close().await;
        lab.close().await;
    });
}
