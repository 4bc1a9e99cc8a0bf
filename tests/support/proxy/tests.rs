//! Log lines as the proxies write them, counted.

use super::{haproxy, nginx};

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn nginx_attempts_are_the_addresses_of_the_access_log() {
    let log = nginx::read(&lines(
        "request status=502 attempts=\"10.50.2.2:80\" upstream_status=\"502\"\n\
         request status=200 attempts=\"10.50.2.2:80, [fd50::2]:80 : 10.50.2.3:80\" upstream_status=\"\"\n\
         request status=400 attempts=\"-\" upstream_status=\"-\"\n",
    ));
    assert_eq!((log.requests, log.attempts), (3, 4));
}

#[test]
fn haproxy_attempts_are_the_retries_and_the_first_one() {
    let log = haproxy::read(&lines(
        "request end=SC status=503 retries=3 from=10.50.2.1:4000 to=upstreams/upstream\n\
         request end=-- status=200 retries=0 from=10.50.2.1:4001 to=upstreams/upstream\n\
         request end=SC status=503 retries=+1 from=10.50.2.1:4001 to=upstreams/upstream\n\
         request end=SC status=503 retries=0 from=-:0 to=upstreams/<NOSRV>\n\
         [NOTICE]   (812) : New worker forked\n",
    ));
    assert_eq!(
        (log.requests, log.attempts, log.complaints.len()),
        (4, 7, 3)
    );
}
