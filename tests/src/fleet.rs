//! A controller, hosts with agents, and an operator who is logged in.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    ctl::Ctl,
    daemon::Daemon,
    eventually::eventually,
    host::{Host, binary},
};

/// Address of the controller's end of the hosts' network.
pub const BRIDGE: &str = "10.77.0.254";

#[derive(Debug)]
pub struct Fleet {
    // Processes go before the hosts they run in, the directory last.
    pub controller: Daemon,
    pub members: Vec<Member>,
    pub ctl: Ctl,
    port: u16,
    settings: String,
    environment: Vec<(String, String)>,
    dir: TempDir,
}

/// A host with its agent.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub agent: Daemon,
    pub host: Host,
    dir: PathBuf,
    environment: Vec<(String, String)>,
}

/// How a fleet is made.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    /// Lines of the controller's TOML file beside the addresses.
    pub controller_settings: String,
    /// Environment of the controller, the agents and `ctl`.
    pub environment: Vec<(String, String)>,
    /// Whether the default policy backs databases up by itself; else nothing begins that the test did not ask for.
    pub schedules: bool,
}

impl Fleet {
    /// A controller with `count` enrolled hosts `web-1`, `web-2`, …
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self::start_with(count, Plan::default())
    }

    #[must_use]
    pub fn start_with(count: usize, plan: Plan) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("holdfast-e2e-")
            .tempdir()
            .expect("a directory");
        // The private catalog runs as a service user and must reach its directory.
        make_reachable(dir.path());
        // The bridge exists from the first host on, and the controller binds to its address.
        let hosts: Vec<Host> = (0..count.max(1)).map(|_| Host::start()).collect();
        let port = free_port();
        let controller = start_controller(dir.path(), port, &plan);
        let ctl = Ctl::with_home(&dir.path().join("operator"));
        let mut fleet = Self {
            controller,
            members: Vec::new(),
            ctl,
            port,
            settings: plan.controller_settings,
            environment: plan.environment,
            dir,
        };
        fleet.log_in();
        if !plan.schedules {
            fleet.hold_schedules();
        }
        for (index, host) in hosts.into_iter().take(count).enumerate() {
            fleet.enrol(&format!("web-{}", index + 1), host);
        }
        fleet
    }

    #[must_use]
    pub fn address(&self) -> String {
        format!("{BRIDGE}:{}", self.port)
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("controller")
    }

    #[must_use]
    pub fn host(&self, name: &str) -> &Host {
        &self.member(name).host
    }

    #[must_use]
    pub fn member(&self, name: &str) -> &Member {
        self.members
            .iter()
            .find(|member| member.name == name)
            .expect("a member of the fleet")
    }

    pub fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members
            .iter_mut()
            .find(|member| member.name == name)
            .expect("a member of the fleet")
    }

    /// Starts the controller again after `controller.kill_9()` or `stop()`.
    pub fn restart_controller(&mut self) {
        let plan = Plan {
            controller_settings: self.settings.clone(),
            environment: self.environment.clone(),
            ..Plan::default()
        };
        self.controller = start_controller(self.dir.path(), self.port, &plan);
        self.wait_for_controller();
    }

    /// Enrols a host by the very command line that `ctl host enrol` prints.
    pub fn enrol(&mut self, name: &str, host: Host) {
        let enrolment = self.ctl.json(&[
            "host",
            "enrol",
            name,
            "--controller-address",
            &self.address(),
        ]);
        let line = enrolment["command"]
            .as_str()
            .expect("a command line")
            .to_owned();
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        let mut words = line.split_whitespace().skip_while(|word| *word != "join");
        assert_eq!(
            words.next(),
            Some("join"),
            "{line:?} runs `holdfast-agent join`"
        );
        let mut join = host.command(binary("holdfast-agent"));
        join.arg("join")
            .args(words)
            .arg("--state-dir")
            .arg(dir.join("state"));
        join.envs(self.environment.clone());
        // It joins, and then it is the agent.
        let agent = Daemon::start(name, &dir, join);
        self.members.push(Member {
            name: name.to_owned(),
            agent,
            host,
            dir,
            environment: self.environment.clone(),
        });
        self.wait_connected(name);
    }

    pub fn wait_connected(&self, name: &str) {
        eventually(
            Duration::from_secs(30),
            &format!("the session of {name}"),
            || {
                let hosts = self.ctl.run(&["-o", "json", "host", "list"]);
                let list: serde_json::Value =
                    serde_json::from_str(&hosts.out).map_err(|error| error.to_string())?;
                let found = list["hosts"].as_array().into_iter().flatten().any(|host| {
                    host["name"] == name && host["connected"] == serde_json::Value::Bool(true)
                });
                if found {
                    Ok(())
                } else {
                    Err(format!("{list}"))
                }
            },
        );
    }

    /// Waits until the fleet shows a container of this name, or none any more.
    pub fn wait_container(&self, name: &str, there: bool) {
        let what = format!("container {name}: {there}");
        eventually(Duration::from_secs(60), &what, || {
            let list = self.ctl.json(&["container", "list"]);
            let mut all = list["containers"].as_array().into_iter().flatten();
            if all.any(|container| container["name"] == name) == there {
                Ok(())
            } else {
                Err(list)
            }
        });
    }

    /// Waits until the fleet shows an instance as up.
    pub fn wait_instance(&self, full_name: &str) {
        let (host, instance) = full_name.split_once('/').expect("host/instance");
        eventually(Duration::from_secs(60), &format!("{full_name} up"), || {
            let list = self.ctl.json(&["instance", "list"]);
            let found = list["instances"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|line| line["host"] == host && line["name"] == instance && line["up"] == true);
            if found {
                Ok(())
            } else {
                Err(format!("{list}"))
            }
        });
    }

    fn log_in(&self) {
        self.wait_for_controller();
        let state = self.state_dir();
        let address = self.address();
        let state = state.to_str().expect("UTF-8");
        self.ctl
            .ok(&["login", "--state-dir", state, "--controller", &address]);
    }

    /// Before there is a host: the first backup of a database may come with its first report.
    fn hold_schedules(&self) {
        let file = self.dir.path().join("no-schedules.yaml");
        let text = "default: {protect: false, reason: the test makes its own backups}\n";
        fs::write(&file, text).expect("a policy file");
        let file = file.to_str().expect("UTF-8");
        self.ctl.ok(&["apply", "-f", file, "--yes"]);
    }

    fn wait_for_controller(&self) {
        let address = self.address();
        eventually(
            Duration::from_secs(60),
            "an open port of the controller",
            || std::net::TcpStream::connect(&address).map_err(|error| error.to_string()),
        );
    }
}

impl Member {
    /// Where its agent keeps what lasts.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Gives the machine up for another enrolment; the agent must have ended.
    #[must_use]
    pub fn into_host(self) -> (Host, String) {
        (self.host, self.name)
    }

    /// Starts the agent again after `agent.kill_9()` or a power cut.
    pub fn restart_agent(&mut self) {
        self.agent = start_agent(&self.name, &self.host, &self.dir, &self.environment);
    }
}

fn start_agent(name: &str, host: &Host, dir: &Path, environment: &[(String, String)]) -> Daemon {
    let mut command = host.command(binary("holdfast-agent"));
    command.arg("run").arg("--state-dir").arg(dir.join("state"));
    command.envs(environment.iter().cloned());
    Daemon::start(name, dir, command)
}

fn start_controller(dir: &Path, port: u16, plan: &Plan) -> Daemon {
    let config = dir.join("controller.toml");
    let state = dir.join("controller");
    let text = format!(
        "state_dir = {state:?}\nlisten = \"{BRIDGE}:{port}\"\nadvertise = \"{BRIDGE}:{port}\"\n{}\n",
        plan.controller_settings
    );
    fs::write(&config, text).expect("a settings file");
    let mut command = Command::new(binary("holdfast-controller"));
    command.arg("serve").arg("--config").arg(&config);
    command.envs(plan.environment.iter().cloned());
    Daemon::start("controller", dir, command)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((BRIDGE, 0)).expect("an address of the bridge");
    listener.local_addr().expect("an address").port()
}

fn make_reachable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("permissions");
}
