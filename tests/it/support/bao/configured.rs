//! A server as operators run it: from a configuration file, with TLS on both of its listeners, one of which
//! wants a certificate of its clients; not initialised at first.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Bao, Tls, admin_client, binary, listener, provider, two_free_ports};

impl Bao {
    /// Starts one with these files, whose authority is the clients' too. It has to be initialised.
    pub fn start_configured(tls: &Tls) -> Self {
        provider();
        (0..5).find_map(|_| Self::try_start_configured(tls)).expect("OpenBao does not start")
    }

    fn try_start_configured(tls: &Tls) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (port, second) = (two_free_ports(), two_free_ports());
        let open = Tls { client_ca: None, ..tls.clone() };
        let audit = dir.path().join("audit.log");
        let config = format!(
            "storage \"inmem\" {{}}\ndisable_mlock = true\napi_addr = \"https://127.0.0.1:{port}\"\n\
             audit \"file\" \"test\" {{\n  options {{\n    file_path = \"{}\"\n  }}\n}}\n{}{}",
            audit.display(),
            listener(port, &open),
            listener(second, tls)
        );
        fs::write(dir.path().join("config.hcl"), config).unwrap();
        let mut command = Command::new(binary());
        command.arg("server").arg("-config").arg(dir.path().join("config.hcl"));
        command.env_clear().env("HOME", dir.path());
        let log = fs::File::create(dir.path().join("stderr.log")).unwrap();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains("OpenBao server started!")) {
            child.wait().unwrap();
            return None;
        }
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            dir,
            address: format!("https://127.0.0.1:{port}"),
            second_address: Some(format!("https://127.0.0.1:{second}")),
            client: admin_client(tls.client_ca.as_ref().unwrap()),
            unseal_key: String::new(),
            root: String::new(),
        })
    }

    /// Initialises it; it is sealed then.
    pub async fn initialise(&mut self) {
        let url = format!("{}/v1/sys/init", self.address);
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let answer = self.client.put(url).body(shares.to_string()).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let field = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{text}")).to_owned();
        self.unseal_key = field(&answer["keys"][0]);
        self.root = field(&answer["root_token"]);
    }
}
