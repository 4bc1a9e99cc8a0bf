use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;
use crate::event::Endpoint;

/// A procfs with one process, and below its root the files of its own.
struct Host(PathBuf);

impl Host {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gw502-names-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, text).unwrap();
    }

    fn process(&self, pid: u32, parent: u32, comm: &str, cmdline: &str) {
        self.write(&format!("{pid}/comm"), &format!("{comm}\n"));
        self.write(&format!("{pid}/cmdline"), cmdline);
        self.write(
            &format!("{pid}/status"),
            &format!("Name:\t{comm}\nPPid:\t{parent}\n"),
        );
        fs::create_dir_all(self.0.join(format!("{pid}/root"))).unwrap();
    }

    fn names(&self, pid: u32) -> Names {
        let root = KernelRoot {
            proc: self.0.clone(),
            ..KernelRoot::new(None)
        };
        Names::of_proxy(&root, pid)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            assert!(std::thread::panicking(), "cannot clean up: {error}");
        }
    }
}

fn tcp(last: u8, port: u16) -> Upstream {
    Upstream::Tcp(Endpoint {
        address: [10, 0, 0, last].into(),
        port,
    })
}

#[test]
fn nginx_is_read_by_its_masters_arguments_with_what_it_includes() {
    let host = Host::new("nginx");
    host.process(
        70,
        1,
        "nginx",
        "nginx: master process nginx -c /srv/nginx.conf",
    );
    host.process(71, 70, "nginx", "nginx: worker process");
    host.write(
        "71/root/srv/nginx.conf",
        "http { include sites/*.conf; include /srv/loop.conf; }",
    );
    host.write(
        "71/root/srv/sites/a.conf",
        "upstream api { server 10.0.0.1:80; }",
    );
    host.write(
        "71/root/srv/sites/b.conf",
        "upstream web { server 10.0.0.2:80; }",
    );
    host.write(
        "71/root/srv/sites/c.conf.bak",
        "upstream old { server 10.0.0.1:80; }",
    );
    host.write("71/root/srv/loop.conf", "include /srv/loop.conf;");
    let names = host.names(71);
    assert_eq!(names.of(&tcp(1, 80)), Some("api"));
    assert_eq!(names.of(&tcp(2, 80)), Some("web"));
    assert_eq!(names.of(&tcp(3, 80)), None);
}

#[test]
fn haproxy_is_read_by_its_own_arguments() {
    let host = Host::new("haproxy");
    host.process(80, 1, "haproxy", "haproxy\0-f\0/etc/h\0-f\0/etc/more.cfg\0");
    host.write(
        "80/root/etc/h/1.cfg",
        "backend api\n server a 10.0.0.1:80\n",
    );
    host.write(
        "80/root/etc/more.cfg",
        "backend web\n server b 10.0.0.2:80\n",
    );
    let names = host.names(80);
    assert_eq!(names.of(&tcp(1, 80)), Some("api/a"));
    assert_eq!(names.of(&tcp(2, 80)), Some("web/b"));
}

#[test]
fn a_link_leads_nowhere_outside_and_no_pipe_holds_us_up() {
    let host = Host::new("hostile");
    host.write(
        "secret/nginx.conf",
        "upstream stolen { server 10.0.0.1:80; }",
    );
    host.process(90, 1, "nginx", "nginx\0-c\0/nginx.conf\0");
    host.write(
        "90/root/nginx.conf",
        "include /outside.conf; include /up.conf; include /pipe;",
    );
    symlink(
        host.0.join("secret/nginx.conf"),
        host.0.join("90/root/outside.conf"),
    )
    .unwrap();
    symlink("../../secret/nginx.conf", host.0.join("90/root/up.conf")).unwrap();
    let pipe = host.0.join("90/root/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(host.names(90).is_empty());
    // The same file is found where a link stays inside.
    host.write("90/root/real.conf", "upstream api { server 10.0.0.1:80; }");
    fs::remove_file(host.0.join("90/root/up.conf")).unwrap();
    symlink("/real.conf", host.0.join("90/root/up.conf")).unwrap();
    assert_eq!(host.names(90).of(&tcp(1, 80)), Some("api"));
}

#[test]
fn another_program_or_none_has_no_names() {
    let host = Host::new("none");
    host.process(95, 1, "envoy", "envoy\0-c\0/e.yaml\0");
    assert!(host.names(95).is_empty());
    assert!(host.names(96).is_empty());
}
